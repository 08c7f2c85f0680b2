from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from physnet.drivers.roles import SourceSetup
from physnet.drivers.scripted import Step
from physnet.errors import InputError, TransportError
from tests.drivers.instruments.script_red_pitaya import (
    BURST,
    DETECTOR,
    DETECTOR_ANSWERS,
    NONE,
    SOURCE,
    SOURCE_ANSWERS,
    asked,
    begun,
    channel_settings,
    close_all,
    compared,
    detector_set,
    flags,
    lines,
    made_safe,
    opened,
    read,
    source_set,
)


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_all()


@pytest.mark.parametrize(
    ("jumpers", "scales"), [(("HV", "LV"), (20 / 8192, 1 / 8192)), (("LV", "HV"), (1 / 8192, 20 / 8192))]
)
def test_the_range_is_that_of_the_jumper(jumpers: tuple[Any, Any], scales: tuple[float, float]) -> None:
    steps = detector_set()
    gains = {f"ACQ:SOUR{place}:GAIN?": jumper for place, jumper in enumerate(jumpers, start=1)}
    sent = steps[-2].sent
    for place, jumper in enumerate(jumpers, start=1):
        sent = sent.replace(b"SOUR%d:GAIN LV" % place, f"SOUR{place}:GAIN {jumper}".encode())
    steps[-2] = Step(sent, steps[-2].answer)
    board, line = opened(
        *steps,
        *compared({**DETECTOR_ANSWERS, **gains}),
        *(lines("ACQ:START"), lines("ACQ:TRIG EXT_PE"), *flags("WAIT", "0")),
        *read(),
        *flags("TD", "1"),
        asked("ACQ:TPOS?", "16380"),
        jumpers=jumpers,
        trigger="EXT_PE",
    )
    board.setup(DETECTOR)
    board.arm()
    np.testing.assert_array_equal(board.fetch().scale_C, scales)
    line.assert_used_up()


def test_two_outputs_in_any_order_and_a_measured_full_scale() -> None:
    wanted = SourceSetup(channels=(2, 1), sample_rate=125e6, peak=(1.0, 5.0), load=(math.inf, 1e6))
    commands = [*channel_settings(2, "7629.39453125", "0.5"), *channel_settings(1, "7629.39453125", "0.5")]
    answers = {
        query.replace("1:", f"{channel}:", 1): {"0.2": "0.5", "119.209": "7629.39"}.get(answer, answer)
        for channel in (2, 1)
        for query, answer in SOURCE_ANSWERS.items()
    }
    ones, halves = ",".join(["1"] * 16384), ",".join(["-0.5"] * 16384)
    board, line = opened(
        *begun(),
        lines("GEN:RST", "OUTPUT1:STATE OFF", "OUTPUT2:STATE OFF", *commands, "*OPC?", answer="1"),
        asked("SYST:ERR?", NONE),
        *compared(answers),
        lines(
            "OUTPUT2:STATE OFF",
            "OUTPUT1:STATE OFF",
            f"SOUR2:TRAC:DATA:DATA {ones}",
            f"SOUR1:TRAC:DATA:DATA {halves}",
            "*OPC?",
            answer="1",
        ),
        asked("SYST:ERR?", NONE),
        asked("SOUR2:FREQ:FIX?", "7629.39"),
        asked("SOUR2:VOLT?", "0.5"),
        asked("SOUR1:FREQ:FIX?", "7629.39"),
        asked("SOUR1:VOLT?", "0.5"),
        volts_out=(10.0, 2.0),
    )
    assert board.setup(wanted) == wanted
    burst_NCT = np.stack([np.full((16384,), 1.0), np.full((16384,), -2.5)])[None]
    board.load(burst_NCT)
    line.assert_used_up()


OTHERS = {"ARBITRARY": "SINE", "119.209": "1000", "0.2": "0.8", "0": "0.1", "BURST": "CONTINUOUS", "1": "2"}
OTHERS |= {"INT": "EXT_PE", "OFF": "ON", "64": "1", "ON": "OFF", "LV": "HV", "BIN": "ASCII", "RAW": "VOLTS"}
OTHERS |= {"-8178": "0", "  1953125 Hz": "  1920000 Hz"}


@pytest.mark.parametrize("query", SOURCE_ANSWERS)
def test_a_setting_of_the_source_that_was_not_taken_is_refused(query: str) -> None:
    upto = dict(list(SOURCE_ANSWERS.items())[: list(SOURCE_ANSWERS).index(query)])
    board, line = opened(*source_set(), *compared(upto), asked(query, OTHERS[SOURCE_ANSWERS[query]]))
    with pytest.raises(TransportError) as refused:
        board.setup(SOURCE)
    assert refused.value.kind in ("rejected", "garbled")
    line.assert_used_up()
    with pytest.raises(InputError, match="set up first"):
        board.load(BURST)


@pytest.mark.parametrize("query", DETECTOR_ANSWERS)
def test_a_setting_of_the_detector_that_was_not_taken_is_refused(query: str) -> None:
    upto = dict(list(DETECTOR_ANSWERS.items())[: list(DETECTOR_ANSWERS).index(query)])
    board, line = opened(*detector_set(), *compared(upto), asked(query, OTHERS[DETECTOR_ANSWERS[query]]))
    with pytest.raises(TransportError) as refused:
        board.setup(DETECTOR)
    assert refused.value.kind in ("rejected", "garbled")
    line.assert_used_up()
    with pytest.raises(InputError, match="set up first"):
        board.arm()


def test_a_setting_that_the_firmware_does_not_know_is_a_timeout() -> None:
    """The server answers nothing then."""
    board, line = opened(*source_set(), lines("SOUR1:FUNC?"))
    with pytest.raises(TransportError) as silent:
        board.setup(SOURCE)
    assert silent.value.kind == "timeout"
    line.assert_used_up()


def test_an_answer_with_another_one_behind_it_is_garbled() -> None:
    """OS 2.04 answers `None` in a line of its own behind some."""
    board, _ = opened(*source_set(), Step(b"SOUR1:FUNC?\r\n", b"ARBITRARY\r\nNone\r\n"))
    with pytest.raises(TransportError) as more:
        board.setup(SOURCE)
    assert more.value.kind == "garbled"


@pytest.mark.parametrize("name", ["STEMlab 125-10 v1.0", "STEMlab 250-12 v1.2", "SDRlab 122-16 v1.0", "unknown"])
def test_another_board_is_refused(name: str) -> None:
    board, line = opened(*made_safe(), asked("SYST:BRD:NAME?", name))
    with pytest.raises(TransportError, match="STEMlab 125-14") as foreign:
        board.setup(SOURCE)
    assert foreign.value.kind == "foreign"
    line.assert_used_up()
