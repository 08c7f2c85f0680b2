"""`physnet devices`."""

from __future__ import annotations

import argparse
import importlib
import json
from typing import Any

from ..printable import printable

_TITLES = {"serial": "serial ports", "visa": "VISA resources", "sound": "sound devices"}
_WARNING = (
    "Opening a port can reset the board behind it, and disturbs whoever uses it. Serial ports are opened only when "
    "they are named: physnet devices --identify PORT"
)


def devices(arguments: argparse.Namespace) -> int:
    """List what is connected, and ask who is there if that is asked for."""
    # Found when it runs: the core knows no drivers.
    finding = importlib.import_module("physnet.drivers.finding")
    listing = finding.look()
    found = list(listing.found)
    if arguments.identify is not None:
        print(_WARNING, flush=True)
        found = _identified(found, arguments.identify)
    for kind, title in _TITLES.items():
        _section(title, [_words(one) for one in found if one.kind == kind])
    _section("drivers", [(name, [about]) for name, about in listing.drivers.items()])
    for note in listing.notes:
        print(printable("not looked for: " + " ".join(note.split())))
    if arguments.json:
        report = {kind: [_plain(one) for one in found if one.kind == kind] for kind in _TITLES}
        print(json.dumps({**report, "drivers": listing.drivers, "notes": listing.notes}))
    return 0


def _identified(found: list[Any], names: list[str]) -> list[Any]:
    identifying = importlib.import_module("physnet.drivers.identifying")
    asked = {}
    for one in identifying.chosen(found, names):
        print(printable(f"asking {one.name} ..."), flush=True)
        asked[one.name] = identifying.identify(one)
    known = [asked.pop(one.name, one) for one in found]
    return [*known, *asked.values()]


def _section(title: str, rows: list[tuple[str, list[str]]]) -> None:
    print(f"\n{title}" + ("" if rows else ": none"))
    for name, lines in rows:
        print(printable(f"  {name}"))
        for line in filter(None, lines):
            print(printable(f"      {line}"))


def _words(one: Any) -> tuple[str, list[str]]:
    usb = f"USB {one.usb}" if one.usb else ""
    number = f"serial number {one.serial_number}" if one.serial_number else ""
    return one.name, [
        ", ".join(filter(None, (one.about, usb, number))),
        f"is {one.identity}" if one.identity else "",
        f"does not answer: {one.problem}" if one.problem else "",
        f"driver: {', '.join(one.fits)}" if one.fits else "",
    ]


def _plain(one: Any) -> dict[str, Any]:
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in vars(one).items() if key != "kind"
    }
