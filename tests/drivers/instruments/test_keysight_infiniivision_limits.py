from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physnet.drivers.instruments.keysight_infiniivision import KeysightInfiniiVision
from physnet.drivers.roles import DetectorSetup
from physnet.drivers.scripted import ScriptedTransport, Step
from physnet.errors import InputError, TransportError
from tests.drivers.instruments.examples import opening
from tests.drivers.instruments.script_infiniivision import (
    RAMP,
    SETUP,
    T_MODEL,
    block,
    detector,
    preamble,
    recorded,
)


@pytest.mark.parametrize("code", [0x0001, 0x00FF, 0x0100, 0xFF00, 0xFFFF])
def test_codes_at_the_ends_of_the_screen_are_clipped(code: int) -> None:
    with recorded(preamble(1), block("WAV:SOUR CHAN1", codes=[code, *RAMP[1:]])) as scope:
        assert scope.fetch().clipped().tolist() == [True]


def test_a_hole_is_refused() -> None:
    with recorded(preamble(1), block("WAV:SOUR CHAN1", codes=[*RAMP[:40], 0, *RAMP[41:]])) as scope:
        with pytest.raises(TransportError, match="never taken") as caught:
            scope.fetch()
        assert caught.value.kind == "garbled"


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (preamble(1, format="0"), "garbled"),  # bytes
        (preamble(1, type="1"), "garbled"),  # peaks come in pairs
        (preamble(1, scale="0"), "garbled"),
        (preamble(1, scale="9.91E37"), "garbled"),
        (preamble(1, origin="9.9E37"), "garbled"),
        (preamble(1, **{"x reference": "1"}), "garbled"),
        (preamble(1, points="99"), "rejected"),
        (preamble(1, step="+5.1E-04"), "rejected"),
        (preamble(1, step="-5.0E-04"), "garbled"),
        (preamble(1, reference="0,0"), "garbled"),  # eleven numbers
        (preamble(1, reference="half"), "garbled"),
    ],
)
def test_a_preamble_that_is_not_the_records_is_refused(step: Step, kind: str) -> None:
    with recorded(step) as scope:
        with pytest.raises(TransportError) as caught:
            scope.fetch()
        assert caught.value.kind == kind


def test_a_block_of_another_length_is_refused() -> None:
    with recorded(preamble(1), Step(b"WAV:SOUR CHAN1\nWAV:DATA?\n", b"#800000198")) as scope:
        with pytest.raises(TransportError, match="100 numbers") as caught:
            scope.fetch()
        assert caught.value.kind == "garbled"


@pytest.mark.parametrize(
    "changed",
    [
        {"channels": ()},
        {"channels": (5,)},
        {"channels": (1, 1), "full_scale": (0.5, 0.5)},
        {"channels": (1, 2)},
        {"full_scale": (0.0,)},
        {"full_scale": (math.nan,)},
        {"full_scale": (math.inf,)},
        {"full_scale": (21.0,)},
        {"full_scale": (3e-3,)},
        {"segments": 0},
        {"segments": 1001},
        {"points": 0},
        {"points": 5_000_000},
        {"points": 100_000, "segments": 100},
        {"sample_rate": math.nan},
        {"sample_rate": math.inf},
        {"sample_rate": -1.0},
        {"sample_rate": 0.01},
        {"sample_rate": 2e9},
        {"before": -1e-3},
        {"before": math.nan},
        {"before": 0.06},
        {"coupling": "GND"},
    ],
)
def test_a_setup_out_of_range_is_refused_before_a_byte_is_sent(changed: dict[str, Any]) -> None:
    with detector() as scope, pytest.raises(InputError):
        scope.setup(dataclasses.replace(SETUP, **changed))


@pytest.mark.parametrize(
    "options", [{"trigger_level": 8.1}, {"trigger_level": math.nan}, {"impedance": 75.0}, {"impedance": math.nan}]
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        KeysightInfiniiVision(resource="", transport=ScriptedTransport(), **options)


def test_an_input_of_50_ohm_has_no_ac_coupling() -> None:
    with detector(impedance=50.0) as scope, pytest.raises(InputError, match="50 Ohm"):
        scope.setup(dataclasses.replace(SETUP, coupling="AC"))


@settings(max_examples=60, deadline=None)
@given(
    rate=st.one_of(st.floats(1.0, 1e6), st.floats()),
    points=st.integers(-1, 300_000),
    segments=st.integers(0, 1001),
    full=st.one_of(st.floats(0.01, 10.0), st.floats()),
    before=st.one_of(st.just(0.0), st.floats()),
)
def test_every_number_that_is_sent_is_finite_and_in_range(
    rate: float, points: int, segments: int, full: float, before: float
) -> None:
    line = ScriptedTransport(opening(T_MODEL), Step(b"*RST\n*OPC?\n", b"1\n"))
    wanted = DetectorSetup(
        channels=(1,), sample_rate=rate, points=points, segments=segments, full_scale=(full,), before=before
    )
    with KeysightInfiniiVision(resource="", transport=line) as scope:
        try:
            scope.setup(wanted)
        except InputError:
            return
        except AssertionError as error:
            sent = str(error).partition("and b'")[2].rpartition("'")[0].split("\\n")[:-1]
        numbers = dict(text.split(" ") for text in sent)
        duration, position = float(numbers["TIM:RANG"]), float(numbers["TIM:POS"])
        assert 1e-6 <= duration <= 500
        assert 0.016 / 2 <= float(numbers["CHAN1:RANG"]) <= 40
        # The record begins `before` before the trigger, and is long enough: to the rounding of double precision.
        assert duration / 2 - position == pytest.approx(before, rel=1e-9, abs=1e-9 * duration)
        assert duration * rate >= points * (1 - 1e-12)
        assert ("ACQ:SEGM:COUN" in numbers) == (segments > 1)
