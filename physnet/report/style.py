"""The style sheet. Everything is readable without it: charts carry their own colours, the text its own order."""

from __future__ import annotations

import base64
import hashlib

COLOURS = ("#1d4e9e", "#7a2aa8", "#b4246f", "#c8501e", "#8a6d00", "#1f7a4d")
"""Colours of layers, bottom up, on white."""
_DARK = ("#82aaff", "#c39bff", "#ff8fc0", "#ff9f6b", "#e2c541", "#63d29a")

SHEET = (
    """
:root { color-scheme: light dark; --ink: #16191d; --soft: #5a626c; --line: #d9dde2; --page: #ffffff; --box: #f5f6f8;
  --warn: #8a3b00; --warnbox: #fff3e3; --bad: #9d1c1c; --good: #14663a; --heat: #1d4e9e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7eaee; --soft: #a4adb8; --line: #363c44; --page: #14171b;
  --box: #1d2126; --warn: #ffbe7d; --warnbox: #35270f; --bad: #ff8d8d; --good: #7fdca6; --heat: #82aaff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.2rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .2rem 0 .4rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; padding-bottom: .2rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.3rem 0 .4rem; }
p { margin: .4rem 0; max-width: 62rem; } .soft, figcaption small { color: var(--soft); }
nav ul, .legend { list-style: none; margin: .6rem 0; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1rem; }
a { color: inherit; text-underline-offset: 2px; } nav { font-size: .9rem; }
.kind { display: inline-block; font-weight: 700; font-size: .78rem; letter-spacing: .04em; padding: 0 .45rem;
  border: 1.5px solid currentColor; border-radius: 3px; vertical-align: .1em; white-space: nowrap; }
.simulated, .warn { color: var(--warn); } .measured, .good { color: var(--good); } .bad { color: var(--bad); }
.banner { margin: .7rem 0; padding: .55rem .9rem; border: 1.5px solid var(--warn); border-left-width: 8px;
  background: var(--warnbox); color: var(--ink); }
.banner strong:first-child { color: var(--warn); letter-spacing: .04em; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 11rem), 1fr)); gap: .7rem;
  margin: 1rem 0; }
.tile { background: var(--box); border: 1px solid var(--line); border-radius: 6px; padding: .6rem .9rem; }
.tile .big { font-size: 1.65rem; font-weight: 650; line-height: 1.3; }
.tile .big.word { font-size: 1.35rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); gap: 1rem 1.6rem; }
figure { margin: .4rem 0; min-width: 0; } figcaption { font-weight: 600; }
figcaption small { font-weight: 400; display: block; }
svg { display: block; height: auto; max-width: min(100%, 46rem); } svg:not(.own) { width: 100%; }
svg text { fill: currentColor; } .key { display: inline-block; margin-right: .35rem; } .legend { font-size: .88rem; }
.legend, .tile p { margin: 0; }
.grid { stroke: var(--line); } .heat { fill: var(--heat); } .soft-line { stroke: var(--soft); }
.scroll { overflow-x: auto; max-width: 100%; margin: .5rem 0; } table { border-collapse: collapse; font-size: .88rem; }
caption { text-align: left; font-weight: 600; padding: .2rem 0; } th, td { text-align: left; vertical-align: top;
  padding: .18rem .7rem .18rem 0; border-bottom: 1px solid var(--line); overflow-wrap: normal; }
td.long { overflow-wrap: anywhere; min-width: 16rem; }
th.n, td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
thead th { color: var(--soft); }
tbody th { font-weight: 600; } dl { margin: .5rem 0; }
dl div { display: grid; grid-template-columns: 10.5rem 1fr; gap: .2rem 1rem;
  padding: .12rem 0; border-bottom: 1px solid var(--line); } dt { color: var(--soft); } dd { margin: 0; min-width: 0; }
@media (max-width: 34rem) { body { padding: .8rem; } dl div { grid-template-columns: 1fr; gap: 0; }
  h1 { font-size: 1.3rem; } }
details { margin: .4rem 0; } summary { cursor: pointer; color: var(--soft); font-size: .9rem; }
pre { background: var(--box); border: 1px solid var(--line); border-radius: 6px; padding: .7rem .9rem; overflow-x: auto;
  font: 13px/1.45 ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace; overflow-wrap: normal; }
code { font: .92em ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace; }
footer { margin-top: 2.5rem; color: var(--soft); font-size: .85rem; }
@media print { :root { color-scheme: light; } nav { display: none; }
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  figure, .tile, tr, .banner { break-inside: avoid; } h2, h3 { break-after: avoid; } .scroll, pre { overflow: visible; }
  pre { white-space: pre-wrap; } }
"""
    + "".join(f".s{n} {{ stroke: {c}; }} .f{n} {{ fill: {c}; }}\n" for n, c in enumerate(COLOURS))
    + "@media (prefers-color-scheme: dark) {\n"
    + "".join(f".s{n} {{ stroke: {c}; }} .f{n} {{ fill: {c}; }}\n" for n, c in enumerate(_DARK))
    + "}\n"
)

_HASH = base64.b64encode(hashlib.sha256(SHEET.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
"""Content security policy that the page carries: nothing is loaded, nothing runs, one style sheet counts."""


def colour(number: int, of: int) -> int:
    """Return which colour a layer has: the first and the last layer have those at the ends."""
    last = len(COLOURS) - 1
    return min(number, last) if of <= 1 else round(number * last / (of - 1)) if of > 2 else (0, 3)[number]
