"""What the numbers mean for a network, in plain sentences. Every sentence follows from a number that it names."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from ..contracts import SystemSpec
from .plan import Plan
from .quantities import Quantity

_NEGLIGIBLE = 0.05
"""An effect below this share of the response is called small."""
_WHOLE = 0.03
_BLIND = 0.05

Found = Mapping[str, Quantity]


def sentences(found: Found, spec: SystemSpec, plan: Plan) -> tuple[str, ...]:
    """Say what a network can and can't learn through a system.

    Args:
        found: Every quantity, by name.
        spec: The system.
        plan: What was played.
    """
    return tuple(
        sentence
        for part in (_noise, _law, _mixing, _sign, _dimensions, _memory, _drift, _saturation)
        for sentence in part(found, spec, plan)
    )


def _noise(found: Found, spec: SystemSpec, plan: Plan) -> Iterator[str]:
    noise, ratio, relative = found["noise"], found["snr"], found["relative_noise"]
    if not noise.resolved:
        yield "Repeats agree to the rounding: there is no noise to average; a drive need not be played twice."
        return
    if not ratio.value > 0:
        yield "Responses to different drives can't be told apart from noise: a network can learn nothing through it."
        return
    decibel = 20 * math.log10(ratio.value)
    yield (
        f"Signal to noise is {ratio.value:.3g} ({decibel:.0f} dB), noise {100 * relative.value:.2g} % of the response: "
        + (
            "one shot resolves few levels of a channel; average shots, or use more channels than classes."
            if ratio.value < 3
            else f"one shot tells about {ratio.value:.2g} levels of a channel apart."
        )
    )


def _law(found: Found, spec: SystemSpec, plan: Plan) -> Iterator[str]:
    degree, bend, shape = found["degree"], found["degree_change"], found["shape_change"]
    if not degree.resolved:
        yield f"How the response scales with the drive is not resolved: {degree.about}."
        return
    bent = bend.resolved and abs(bend.value) > _NEGLIGIBLE
    turned = shape.resolved and shape.value > _NEGLIGIBLE
    if bent or turned:
        why = " and ".join(
            text
            for text, true in (
                (f"the degree changes by {bend.value:+.2g} towards large drives", bent),
                (f"the pattern changes by {100 * shape.value:.2g} % of the response", turned),
            )
            if true
        )
        yield f"The response is no power of the drive ({why}): the scale changes what is computed, so choose it."
        return
    if max(bend.floor, shape.floor) > _NEGLIGIBLE:
        yield (
            f"Whether the response is a power of the drive is not resolved: its degree, {degree}, changes "
            f"{_within(bend)} towards large drives, and its pattern {_within(shape)} of the response. More passes tell."
        )
        return
    whole = round(degree.value)
    named = f"{whole}" if abs(degree.value - whole) < max(_WHOLE, 3 * degree.error) else f"{degree.value:.3g}"
    yield (
        f"The change of the response is homogeneous of degree {named} ({degree}): scaling a drive scales the response "
        "and teaches nothing new, so a normalising encoder loses nothing but the scale."
    )


def _mixing(found: Found, spec: SystemSpec, plan: Plan) -> Iterator[str]:
    mixing, degree = found["mixing"], found["degree"]
    pairs = found["mixing_pairs"]
    present = [one for one in (mixing, pairs) if one.resolved]
    if present:
        strongest = max(present, key=lambda one: one.value)
        share = f"the mixed part is {100 * strongest.value:.3g} % of what the drives do alone"
        if strongest.value > _NEGLIGIBLE:
            yield f"Drives mix: {share}, so products and comparisons of features are within reach of a linear read-out."
        else:
            yield f"Drives mix weakly: {share}. Products of features hardly come through."
        return
    if math.isnan(mixing.value):
        yield f"Mixing between drives was not measured: {mixing.about}."
        return
    limit = f"{_below(mixing)} of what the drives do alone"
    if degree.resolved and abs(degree.value - 1) < max(_WHOLE, 3 * degree.error) and not _curved(found):
        yield (
            f"It is linear as far as can be seen (degree 1, mixing {limit}): it can't compute products of features. "
            "Only a nonlinear detector or a digital nonlinearity after it can."
        )
    else:
        yield (
            f"No mixing between drives was seen ({limit}): each drive is changed by itself, and products of features "
            "can't be computed."
        )


def _curved(found: Found) -> bool:
    return any(found[name].resolved for name in ("degree_change", "shape_change", "even_part"))


def _sign(found: Found, spec: SystemSpec, plan: Plan) -> Iterator[str]:
    odd, even = found["odd_part"], found["even_part"]
    if math.isnan(odd.value):
        return
    if plan.centre != "zero":
        if spec.drive.domain != "phase":
            yield (
                "The drive has no sign of its own: features of both signs need an encoder such as split or bias. "
                f"About the middle of the range the odd part is {_percent(odd)}, the even part {_percent(even)}."
            )
        return
    odd_most = odd.value if odd.resolved else odd.floor
    if even.resolved and odd_most < _BLIND:
        yield (
            f"It is even (odd part {_percent(odd)}): it loses the common sign of a drive. Use the encoders split or "
            "bias, which carry the sign otherwise."
        )
    elif even.resolved and odd.resolved and even.value < _BLIND:
        yield f"It keeps the sign of a drive, with a small even part of {_percent(even)}."
    elif even.resolved and odd.resolved:
        yield f"It keeps the sign and folds it: odd part {_percent(odd)}, even part {_percent(even)}."
    elif odd.resolved:
        yield f"It is odd as far as can be seen (even part {_percent(even)}): the sign of a drive survives."
    else:
        yield f"Whether it keeps the sign is not resolved (odd part {_percent(odd)}, even part {_percent(even)})."


def _dimensions(found: Found, spec: SystemSpec, plan: Plan) -> Iterator[str]:
    rank, spread = found["rank"], found["participation_ratio"]
    if not rank.resolved:
        yield "No direction of the response stands above the noise: a read-out has nothing to work with."
        return
    channels = spec.response.channels
    least = "at least " if "at least" in rank.about else ""
    carried = f"; {spread.value:.3g} carry most of the signal" if spread.resolved else ""
    ending = (
        "more response channels than that repeat each other."
        if not least and rank.value < 0.9 * channels
        else "a read-out can use them all."
    )
    yield (
        f"The response has {least}{rank.value:.0f} of {channels} dimensions above the noise{carried}, from "
        f"{spec.drive.channels} drives: {ending}"
    )
    if least:
        yield "The number of drives presented is what limits that count: use more passes to see the rest."


def _memory(found: Found, spec: SystemSpec, plan: Plan) -> Iterator[str]:
    memory = found["memory"]
    if memory.resolved:
        if found["noise"].resolved and memory.value > found["relative_noise"].value / 3:
            yield "Part of what is counted as noise here is the trace of the row before."
        yield (
            f"It remembers: {100 * memory.value:.2g} % of the change of a row is still there in the next. Rows must be "
            "shuffled over samples and hypotheses (the port does), or the system needs longer to settle."
        )
        if not spec.stateful:
            yield "Its spec does not say so: declare stateful=True, or responses may be taken as repeatable."
    elif not math.isnan(memory.value):
        yield f"No memory of the row before was seen ({_below(memory)} of its change)."


def _drift(found: Found, spec: SystemSpec, plan: Plan) -> Iterator[str]:
    drift, wander, gain = found["drift"], found["wander"], found["gain_drift"]
    parts = []
    if drift.resolved:
        of = f" (its gain by {100 * gain.value:+.2g} %)" if gain.resolved else ""
        parts.append(f"drifts by {100 * drift.value:.2g} % of the response per 1000 passes{of}")
    if wander.resolved:
        parts.append(f"wanders by {100 * wander.value:.2g} % in 1000 passes")
    if parts:
        worst = max(one.value for one in (drift, wander) if one.resolved)
        refit = "and refits of the standardisation" if worst > _NEGLIGIBLE else "and an eye on sentinels"
        yield f"It {' and '.join(parts)}: a random play order is needed (the port's own), {refit} in a long run."
    elif not math.isnan(drift.value):
        yield (
            f"No drift was seen: {_below(drift)} per 1000 passes, over {len(plan.drive_PD)} passes. A slower one, or "
            "one that comes by night, is not excluded."
        )


def _saturation(found: Found, spec: SystemSpec, plan: Plan) -> Iterator[str]:
    clipped, end, compression = found["clipped_rows"], found["values_at_the_end"], found["compression"]
    if clipped.resolved:
        yield f"{100 * clipped.value:.2g} % of the rows were clipped: lower the drive, or raise the detector's range."
    if end.resolved:
        yield (f"{100 * end.value:.2g} % of the values sit at the end of the scale: what differs beyond it is lost.")
    if compression.resolved and compression.value > _NEGLIGIBLE:
        yield f"It saturates: at full drive {100 * compression.value:.2g} % of the response is missing."


def _percent(quantity: Quantity) -> str:
    if math.isnan(quantity.value):
        return "not measured"
    return f"{100 * quantity.value:.3g} %" if quantity.resolved else _below(quantity)


def _within(quantity: Quantity) -> str:
    return f"by {quantity.value:.2g}" if quantity.resolved else f"by less than {quantity.floor:.2g}"


def _below(quantity: Quantity) -> str:
    # A noiseless simulation is limited by rounding, and digits of that mean nothing to anyone.
    return f"below {100 * quantity.floor:.2g} %" if quantity.floor > 1e-5 else "below 0.001 %"
