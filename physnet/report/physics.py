"""What the physics was: responses and clipping, instruments, characterisations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..characterisation import Characterisation
from ..characterisation.storage import PREFIX, load
from ..errors import SessionError
from ..records import ResponseStatistics
from ..session import Run
from ..session.comparison import flat
from .axes import number
from .charts import Line, bars, lines
from .markup import Markup, element, facts, folded, join, table
from .section import Section, badge, plain
from .style import colour

_TOLD = 0.01
"""Share of clipped rows from which a layer is pointed out."""
_CHARTS = 24
"""Most layers whose responses are drawn."""


def responses(run: Run) -> Section:
    """Return what the physics of each layer answered before the first step."""
    if not run.responses:
        said = element("p", "No response statistics were recorded.")
        return Section(name="responses", title="Responses and clipping", body=said)
    rows: list[tuple[Any, ...]] = []
    charts: list[Markup] = []
    for found in run.responses:
        system = run.layer_systems[found.layer]
        share = found.clipped_rows / found.rows if found.rows else 0.0
        clipped: Any = f"{found.clipped_rows} ({100 * share:.1f} %)"
        dead: Any = f"{found.dead_channels} of {len(found.mean)}"
        rows.append(
            (
                run.layers[found.layer],
                join(system, " ", badge(run.kind(system))),
                found.rows,
                element("strong", clipped, class_="bad") if share > _TOLD else clipped,
                element("strong", dead, class_="bad") if found.dead_channels else dead,
                f"{_least(found.minimum)} to {_greatest(found.maximum)}",
                found.unit,
            )
        )
        if len(charts) < 2 * _CHARTS:
            charts += _charts(run, found)
    head = ("layer", "system", "rows", "clipped rows", "dead channels", "range", "unit")
    absent = sorted(set(range(len(run.layers))) - {found.layer for found in run.responses})
    left = f"Not recorded: {', '.join(run.layers[n] for n in absent)}." if absent else None
    body = join(
        table(
            head, rows, caption="Responses to the standardisation sample, before the first step", numeric=(2, 3, 4, 5)
        ),
        element("p", left) if left else None,
        element("div", *charts, class_="charts"),
    )
    return Section(name="responses", title="Responses and clipping", body=body)


def _charts(run: Run, found: ResponseStatistics) -> Iterator[Markup]:
    layer, shade = run.layers[found.layer], colour(found.layer, len(run.layers))
    scale = _part(run.systems[run.layer_systems[found.layer]], "response").get("full_scale")
    low, high = float(found.edges[0]), float(found.edges[-1])
    # A full scale far beyond the responses would squeeze them into a corner; the table of instruments has it.
    seen = isinstance(scale, int | float) and low <= scale <= high + 0.5 * (high - low)
    marks = [(float(scale), "full scale")] if seen and scale is not None else []
    if np.isfinite(found.edges).all():
        yield bars(
            f"{layer}: responses",
            found.edges,
            found.histogram,
            x="response",
            y="count",
            unit=found.unit,
            colour=shade,
            note=f"{number(found.histogram.sum())} values",
            marks=marks,
        )
    channel = np.arange(len(found.mean))
    yield lines(
        f"{layer}: mean and spread per channel",
        [
            Line(name="mean", x=channel, y=found.mean, colour=shade),
            Line(name="standard deviation", x=channel, y=found.deviation),
        ],
        x="response channel",
        y="response",
        unit=found.unit,
    )


def instruments(run: Run) -> Section:
    """Return what each system said about itself."""
    parts = []
    for name, spec in run.systems.items():
        users = [layer for layer, system in zip(run.layers, run.layer_systems, strict=True) if system == name]
        identity = spec.get("identity")
        rows = flat(identity).items() if isinstance(identity, Mapping) and identity else ()
        parts.append(element("h3", name, " ", badge(run.kind(name))))
        parts.append(facts(_facts(spec, users)))
        if rows:
            said = table(("", "value"), [(key, plain(value)) for key, value in rows], caption=f"Identity of {name}")
            parts.append(folded(f"identity ({len(rows)} entries)", said))
    return Section(name="instruments", title="Instruments", body=join(*parts))


def _facts(spec: Mapping[str, Any], users: list[str]) -> Iterator[tuple[str, str]]:
    identity = spec.get("identity")
    told = identity if isinstance(identity, Mapping) else {}
    for key in ("idn", "model", "serial", "firmware"):
        if told.get(key):
            yield key, plain(told[key])
    yield "used by", ", ".join(users) or "no layer"
    drive, response = _part(spec, "drive"), _part(spec, "response")
    if drive:
        yield "drive", f"{_shape(drive)}, {_range(drive)}, {plain(drive.get('domain'))}"
        limits = {"max_rms": "RMS of a row", "max_sum": "sum over a row", "max_slew": "change between neighbours"}
        said = [f"{text} up to {plain(drive[key])} {_unit(drive)}" for key, text in limits.items() if drive.get(key)]
        if said:
            yield "limits", "; ".join(said)
    if response:
        scale = response.get("full_scale")
        full = f", full scale {plain(scale)} {_unit(response)}" if scale is not None else ", no full scale stated"
        yield "response", f"{_shape(response)}, unit {response.get('unit', '1')}{full}"
    yield "nonlinear in", plain(spec.get("nonlinearity")) if spec.get("nonlinearity") else "nothing: linear"
    words = {
        "repeatable": ("repeatable", "not repeatable"),
        "reproducible": ("reproducible from pass numbers", "not reproducible"),
        "stateful": ("remembers earlier rows", "remembers no earlier rows"),
    }
    yield "declares", ", ".join(yes if spec.get(key) else no for key, (yes, no) in words.items())
    cost = {key: value for key, value in _part(spec, "cost").items() if value}
    if cost:
        yield "cost", ", ".join(f"{key.replace('_', ' ')} {plain(value)} s" for key, value in cost.items())


def _part(spec: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = spec.get(name)
    return found if isinstance(found, Mapping) else {}


def _shape(part: Mapping[str, Any]) -> str:
    shape = part.get("shape")
    return " x ".join(map(str, shape)) + " values" if isinstance(shape, list | tuple) else "no shape stated"


def _unit(part: Mapping[str, Any]) -> str:
    unit = str(part.get("unit", "1"))
    return "(dimensionless)" if unit == "1" else unit


def _range(part: Mapping[str, Any]) -> str:
    try:
        low, high = (np.asarray(part[end], dtype=np.float64) for end in ("low", "high"))
        each = "" if low.ndim == 0 and high.ndim == 0 else " (per channel)"
        return f"{low.min():g} to {high.max():g} {_unit(part)}{each}"
    except (KeyError, TypeError, ValueError):  # another program's spec
        return "no range stated"


def _least(values: Any) -> str:
    finite = values[np.isfinite(values)]
    return number(float(finite.min()), 3) if len(finite) else "-"


def _greatest(values: Any) -> str:
    finite = values[np.isfinite(values)]
    return number(float(finite.max()), 3) if len(finite) else "-"


def characterisations(run: Run) -> Section | None:
    """Return what was measured of the systems before the training, where it was."""
    files = sorted(run.folder.glob(f"{PREFIX}*.h5"))
    if not files:
        return None
    body = join(*(_characterisation(file, run.identifier) for file in files))
    return Section(name="characterisation", title="Characterisation of the systems", body=body)


def _characterisation(file: Path, run: str) -> Markup:
    try:
        return _described(load(file, run=run), file)
    except SessionError as error:
        return element("p", str(error), class_="warn")
    except (LookupError, ValueError, TypeError, ArithmeticError) as error:  # another program's
        return element("p", f"{file.name} contradicts itself ({error}): it is left out.", class_="warn")


def _described(found: Characterisation, file: Path) -> Markup:
    head = element("h3", found.name, " ", badge(found.kind))
    said = element(
        "p", f"{found.count.passes} passes in {found.seconds:.1f} s, {found.created}; {file.name}", class_="soft"
    )
    rows = [(name.replace("_", " "), str(one).replace("+-", "±"), one.about) for name, one in found.quantities.items()]
    return join(
        head,
        said,
        element("ul", *(element("li", sentence.replace("+-", "±")) for sentence in found.sentences)),
        *(element("p", f"Note: {note}", class_="soft") for note in found.notes),
        element("div", *_traces(found), class_="charts"),
        folded("all quantities", table(("", "value", "what it is"), rows, caption=f"Quantities of {found.name}")),
    )


def _traces(found: Characterisation) -> Iterator[Markup]:
    traces = found.traces
    if "signal_per_channel" in traces:
        signal = traces["signal_per_channel"]
        curves = [Line(name="signal", x=np.arange(len(signal.values)), y=signal.values, colour=0)]
        if "noise_per_channel" in traces and found["noise"].resolved:
            noise = traces["noise_per_channel"].values
            curves.append(Line(name="noise", x=np.arange(len(noise)), y=noise, colour=3))
        yield lines(
            f"{found.name}: signal and noise per channel",
            curves,
            x="response channel",
            y="standard deviation",
            unit=signal.unit,
            log=True,
        )
    if "eigenvalues" in traces:
        values = traces["eigenvalues"].values
        curves = [Line(name="direction", x=np.arange(1, len(values) + 1), y=values, colour=0)]
        if "eigenvalue_threshold" in traces:
            least = traces["eigenvalue_threshold"].values
            curves.append(Line(name="to be exceeded", x=np.arange(1, len(least) + 1), y=least))
        yield lines(
            f"{found.name}: directions of response space",
            curves,
            x="direction",
            y=f"signal power / {'noise' if found['noise'].resolved else 'rounding'} power",
            log=True,
        )
    curves, index = [], 0
    while f"sentinel{index}_place" in traces and index < 6:
        place, size = traces[f"sentinel{index}_place"].values, traces[f"sentinel{index}_size"].values
        curves.append(Line(name=f"sentinel {index + 1}", x=place, y=100 * (size - 1), colour=colour(index, 6)))
        index += 1
    if curves:
        yield lines(
            f"{found.name}: drift", curves, x="passes", y="change along the mean response", unit="%", include=[0.0]
        )
