from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from physnet.errors import SpecError
from physnet.simulators.instruments.faults import FaultKind, FaultPlan
from physnet.simulators.instruments.medium import Wire
from physnet.simulators.instruments.oscilloscope import Oscilloscope
from physnet.simulators.instruments.rig import Rig
from tests.simulators.instruments.scpi_bench import RATE, SETUP, Bench, bench, until

POINTS = 1000
SECONDS = POINTS / RATE
TONE = np.round(30000 * np.sin(2 * np.pi * 1000 * np.arange(800) / RATE)).astype(np.int16)


def play_tone(b: Bench, volts: float = 0.4, *, cycles: int = 1, codes: Any = TONE) -> None:
    b.source.send(*SETUP, f"VOLT {2 * volts}", f"BURS:NCYC {cycles}", "OUTP:SYNC:MODE CARR", "OUTP1 ON")
    b.upload(codes)
    b.play()


@pytest.mark.parametrize("fine", [False, True])
def test_what_the_generator_plays_comes_back_within_half_a_code_of_both_converters(fine: bool) -> None:
    with bench() as b:
        b.listen(SECONDS, POINTS, full=0.5)
        b.detector.send(f"ACQ:TYPE {'HRES' if fine else 'NORM'}")
        b.arm()
        play_tone(b)
        assert float(b.detector.ask("WAV:PRE?").split(",")[4]) == pytest.approx(1 / RATE, rel=1e-8)
        volts = b.volts()
        assert len(volts) == POINTS
        wanted = 0.4 * 30000 / 32767 * np.sin(2 * np.pi * 1000 * np.arange(800) / RATE)
        # Half a code of the generator (0.4 V / 32767 / 2), half a code of the oscilloscope (1 V / 256 / 2, or / 4096),
        # and the digits of the preamble: 5e-9 of 32768 words of 1.5e-5 V.
        bound = 0.4 / 32767 / 2 + (1 / 8192 if fine else 1 / 512) + 3e-9
        assert np.abs(volts[:800] - wanted).max() < bound
        assert np.abs(volts[800:]).max() < bound
        assert b.errors(b.detector) == []


def test_it_says_when_it_is_armed_when_it_was_triggered_and_when_it_is_done() -> None:
    with bench() as b:
        b.listen(SECONDS, POINTS, full=0.5)
        b.detector.ask("AER?")
        b.detector.ask("TER?")
        assert b.detector.ask("OPER:COND?") == "+0"
        b.detector.send("SING")
        assert int(b.detector.ask("OPER:COND?")) == 8 + 32
        assert [b.detector.ask("AER?"), b.detector.ask("AER?"), b.detector.ask("TER?")] == ["1", "0", "0"]
        play_tone(b)
        assert b.detector.ask("OPER:COND?") == "+0"
        assert [b.detector.ask("TER?"), b.detector.ask("TER?")] == ["1", "0"]
        before = b.volts()
        play_tone(b, 0.1)  # it is not armed any more
        assert np.array_equal(b.volts(), before)
        assert [event.kind for event in b.rig.log if event.role == "detector"] == [
            "stopped", "armed", "stopped"
        ]  # fmt: skip


@pytest.mark.parametrize(
    "setting",
    ["TRIG:EDGE:LEV 4", "TRIG:EDGE:LEV -1", "TRIG:EDGE:SOUR LINE", "TRIG:EDGE:SOUR CHAN2", "STOP"],
)
def test_without_the_right_trigger_nothing_is_recorded(setting: str) -> None:
    with bench() as b:
        b.listen(SECONDS, POINTS, full=0.5)
        b.arm()
        b.detector.send(setting)
        assert b.detector.ask("*OPC?") == "1"
        play_tone(b)
        assert b.detector.ask("TER?") == "0"
        b.detector.send("WAV:PRE?", "WAV:DATA?")  # no answers, as there is nothing to answer
        assert b.errors(b.detector) == [-230, -230]


def test_the_record_starts_where_reference_and_position_say() -> None:
    with bench() as b:
        b.listen(SECONDS, POINTS, full=0.5)
        for reference, share in (("LEFT", 0.1), ("CENT", 0.5), ("RIGH", 0.9)):
            b.detector.send(f"TIM:REF {reference}", f"TIM:POS {4e-3}")
            b.arm()
            play_tone(b)
            start = float(b.detector.ask("WAV:PRE?").split(",")[5])
            assert start == pytest.approx(4e-3 - share * SECONDS, rel=1e-12)
            times = start + np.arange(POINTS) / RATE
            inside = (times >= 0) & (times < 799 / RATE)
            wanted = np.where(inside, 0.4 * 30000 / 32767 * np.sin(2 * np.pi * 1000 * times), 0.0)
            # Half a code of both, and what a spline misses between samples: (2 pi 1000 / 64000)^4 / 384 = 2.4e-7 V; at
            # the ends of the burst, where the tone begins abruptly, more. They are left out.
            far = (np.abs(times) > 1e-4) & (np.abs(times - 800 / RATE) > 1e-4)
            assert np.abs(b.volts() - wanted)[far].max() < 0.4 / 65534 + 1 / 512 + 1e-6


def test_segments_are_filled_one_for_each_mark_and_read_one_by_one_or_together() -> None:
    with bench() as b:
        b.listen(100 / RATE, 100, full=0.5)
        b.detector.send("ACQ:MODE SEGM", "ACQ:SEGM:COUN 5")
        b.arm()
        ramp = np.concatenate([np.arange(160) * 200, np.zeros(160)]).astype(np.int16)
        play_tone(b, codes=ramp, cycles=3)
        assert int(b.detector.ask("OPER:COND?")) & 8  # two are missing
        assert b.detector.ask("WAV:SEGM:COUN?") == "+3"
        b.detector.send("STOP", "ACQ:SEGM:IND 3")
        last = b.volts()
        wanted = ramp[:100] / 32767 * 0.4
        assert np.abs(last - wanted).max() < 1 / 512 + 1e-8
        b.detector.send("ACQ:SEGM:IND 4")
        assert b.errors(b.detector) == [-222]
        b.detector.send("WAV:SEGM:ALL ON")
        assert np.array_equal(b.volts(), np.tile(last, 3))
        assert b.detector.ask("WAV:PRE?").split(",")[2] == "+100"
        b.arm()
        assert b.detector.ask("WAV:SEGM:COUN?") == "+0"


def test_a_trigger_within_a_segment_is_not_seen() -> None:
    with bench() as b:
        b.listen(500 / RATE, 500, full=0.5)  # longer than a cycle of 320 samples
        b.detector.send("ACQ:MODE SEGM", "ACQ:SEGM:COUN 4")
        b.arm()
        play_tone(b, codes=np.zeros(320, np.int16), cycles=4)
        assert b.detector.ask("WAV:SEGM:COUN?") == "+2"


def test_a_trigger_that_is_missed_leaves_one_segment_less() -> None:
    plan = FaultPlan(script={1: "missed_trigger"})
    with bench(scope={"faults": plan}) as b:
        b.listen(100 / RATE, 100, full=0.5)
        b.detector.send("ACQ:MODE SEGM", "ACQ:SEGM:COUN 3")
        b.arm()
        play_tone(b, codes=np.zeros(320, np.int16), cycles=3)
        assert b.detector.ask("WAV:SEGM:COUN?") == "+2"
        assert plan.counts == {FaultKind.MISSED_TRIGGER: 1}


def test_bytes_words_and_text_say_the_same_signed_or_not() -> None:
    with bench() as b:
        b.listen(SECONDS, POINTS, full=0.3)  # the tone of 0.37 V is clipped
        b.arm()
        play_tone(b)
        words = np.frombuffer(b.detector.block("WAV:DATA?"), "<u2")
        # What clips is marked as the manual says, all else is a byte shifted up.
        assert set(words[words % 256 != 0].tolist()) == {0x0001, 0xFFFF}
        assert np.array_equal(np.frombuffer(b.detector.block("WAV:BYT MSBF;DATA?"), ">u2"), words)
        signed = np.frombuffer(b.detector.block("WAV:UNS OFF;DATA?"), ">i2").astype(np.int32)
        assert np.array_equal(signed + 32768, words)
        assert b.detector.ask("WAV:PRE?").split(",")[9] == "+0"
        bytes_ = np.frombuffer(b.detector.block("WAV:UNS ON;FORM BYTE;DATA?"), "u1")
        assert np.array_equal(bytes_, np.where(words == 1, 1, words >> 8))
        preamble = b.detector.ask("WAV:PRE?").split(",")
        assert (preamble[0], preamble[9]) == ("+0", "+128")
        assert float(preamble[7]) == pytest.approx(0.6 / 256, rel=1e-8)
        text = b.detector.block("WAV:FORM ASC;DATA?").decode().split(",")
        volts = (words.astype(float) - 32768) * 0.6 / 65536
        assert np.allclose([float(value) for value in text], volts, rtol=1e-5, atol=1e-12)


def test_points_come_in_fixed_numbers_that_memory_and_mode_limit() -> None:
    with bench(scope={"model": "DSO-X 2024A"}) as b:
        b.listen(1.0, 50_000, full=0.5)
        assert b.detector.ask("ACQ:SRAT?") == "+1.00000E+05"  # 100 000 points of memory in 1 s
        assert b.detector.ask("ACQ:POIN?") == "+100000"
        assert b.detector.ask("WAV:POIN?") == "+50000"
        b.detector.send("WAV:POIN MAX")
        assert b.detector.ask("WAV:POIN?") == "+100000"
        b.detector.send("ACQ:MODE SEGM", "ACQ:SEGM:COUN 30")
        assert b.detector.ask("ACQ:POIN?;SRAT?") == "+2000;+2.00000E+03"
        assert b.detector.ask("WAV:POIN?") == "+2000"
        b.detector.send("WAV:POIN:MODE NORM")
        assert b.detector.ask("WAV:POIN?") == "+1000"
        b.detector.send("WAV:POIN 777")
        assert b.errors(b.detector) == [-222]


def test_noise_is_as_loud_as_stated_and_the_same_again() -> None:
    def record() -> np.ndarray[Any, np.dtype[np.float64]]:
        with bench(scope={"noise": 0.02, "seed": 4}) as b:
            b.listen(10_000 / RATE, 10_000, full=0.5)
            b.arm()
            play_tone(b, codes=np.zeros(8, np.int16))
            first = b.volts()
            assert np.array_equal(b.volts(), first)
            b.arm()
            b.play()
            assert not np.array_equal(b.volts(), first)
            return first

    first = record()
    assert np.array_equal(record(), first)
    # 0.02 of 0.5 V, and a code of 1 V / 256 adds its square / 12: 0.01006 V. The deviation of 10 000 numbers is known
    # to 1 / sqrt(20 000) = 0.7 %; five of them.
    assert first.std() == pytest.approx(0.010063, rel=0.035)
    assert abs(first.mean()) < 5 * 0.01 / np.sqrt(10_000)


def test_a_slow_clock_takes_its_samples_later_and_later() -> None:
    with bench(scope={"clock": 1e-3}) as b:
        b.listen(SECONDS, POINTS, full=0.5)
        b.detector.send("ACQ:TYPE HRES")
        b.arm()
        play_tone(b)
        times = np.arange(700) / RATE * (1 + 1e-3)
        wanted = 0.4 * 30000 / 32767 * np.sin(2 * np.pi * 1000 * times)
        # As above, in 12 bits; between samples the spline adds 2.4e-7 V, and more within three samples of the start.
        assert np.abs(b.volts()[4:700] - wanted[4:]).max() < 0.4 / 65534 + 1 / 8192 + 1e-6


def test_jitter_moves_each_segment_by_a_time_of_its_own() -> None:
    jitter = 2e-6
    with bench(scope={"jitter": jitter}) as b:
        b.listen(100 / RATE, 100, full=0.5)
        b.detector.send("ACQ:TYPE HRES", "ACQ:MODE SEGM", "ACQ:SEGM:COUN 50", "WAV:SEGM:ALL ON", f"TIM:POS {2.5e-3}")
        b.arm()
        play_tone(b, codes=np.concatenate([np.arange(300) * 100, np.zeros(20)]).astype(np.int16), cycles=50)
        slope = 100 / 32767 * 0.4 * RATE  # V/s
        late = (b.volts().reshape(50, 100).mean(1) - 100 * 0.4 / 32767 * (2.34375e-3 * RATE + 49.5)) / slope
        # Of 50 numbers the deviation is known to 1 / sqrt(100) = 10 %; four of them. Quantisation averages out.
        assert late.std() == pytest.approx(jitter, rel=0.4)
        assert abs(late.mean()) < 4 * jitter / np.sqrt(50) + 1 / 8192 / slope


def test_alternating_coupling_takes_the_constant_away() -> None:
    with bench(scope={"corner": 200.0}) as b:
        b.listen(SECONDS, POINTS, full=0.5)
        for coupling in ("DC", "AC"):
            b.detector.send(f"CHAN1:COUP {coupling}")
            b.arm()
            play_tone(b, codes=np.full(1000, 16384, np.int16))
            volts = b.volts()
            times = np.arange(10, 990) / RATE
            wanted = 0.2 * (np.exp(-2 * np.pi * 200 * times) if coupling == "AC" else np.ones(980))
            # Half a code, and half a sample of delay of the filter: pi 200 / 64 000 = 1 % of 0.2 V.
            assert np.abs(volts[10:990] - wanted).max() < 1 / 512 + 2e-3


def test_a_channel_can_trigger_itself() -> None:
    with bench() as b:
        b.listen(SECONDS, POINTS, full=0.5)
        b.detector.send("TRIG:EDGE:SOUR CHAN1", "TRIG:EDGE:LEV 0.2", "TRIG:EDGE:SLOP NEG", "ACQ:TYPE HRES")
        b.arm()
        play_tone(b)
        volts = b.volts()
        # It falls through 0.2 V: at the trigger within half a code, and on down to the trough.
        assert volts[0] == pytest.approx(0.2, abs=1 / 8192 + 1e-3)
        assert volts[20] < volts[1] < volts[0]


def test_digitise_holds_everything_up_until_it_is_done() -> None:
    with bench() as b:
        b.listen(SECONDS, POINTS, full=0.5)
        b.detector.send("DIG CHAN1;*OPC?")
        until(lambda: any(event.kind == "armed" for event in b.rig.log))
        assert b.detector.quiet(0.03)
        play_tone(b)
        assert b.detector.line() == "1"
        assert b.detector.ask("CHAN1:DISP?;:CHAN2:DISP?") == "1;0"


def test_with_automatic_triggers_it_records_whatever_there_is() -> None:
    with bench() as b:
        b.listen(SECONDS, POINTS, full=0.5)
        b.detector.send("TRIG:SWE AUTO", "DIG")
        assert not b.volts().any()
        assert b.detector.ask("TER?") == "0"


def test_a_channel_that_is_off_has_no_data() -> None:
    with bench() as b:
        b.listen(SECONDS, POINTS, full=0.5)
        b.arm()
        play_tone(b)
        b.detector.send("CHAN1:DISP OFF", "WAV:SOUR CHAN1;DATA?")
        assert b.errors(b.detector) == [-221]


def test_an_overload_puts_clipped_points_and_holes_into_data() -> None:
    scope = Oscilloscope(Rig(Wire()))
    for form, kind, highest in (("WORD", "<u2", 0xFFFF), ("BYTE", "u1", 0xFF)):
        scope.keep("format", (), form)
        found = np.frombuffer(scope.overloaded(np.full(16, 0x80, kind).tobytes()) or b"", kind)  # type: ignore[arg-type]
        assert found.tolist() == [0x80] * 4 + [highest] * 4 + [0] * 3 + [0x80] * 5
    assert scope.overloaded("+1.0E+00,+2.0E+00") == "9.91E+37,9.91E+37"


def test_after_a_reset_it_runs_with_automatic_triggers() -> None:
    with bench() as b:
        b.detector.send("*RST")
        assert int(b.detector.ask("OPER:COND?")) & 8
        assert b.detector.ask("TRIG:SWE?;:CHAN1:RANG?;:TIM:REF?") == "AUTO;+4.00000E+01;CENT"
        assert b.detector.ask("*IDN?") == "KEYSIGHT TECHNOLOGIES,DSO-X 3024T,SIMULATED,07.50.2021102830"


@pytest.mark.parametrize(
    "options",
    [{"model": "DSO"}, {"noise": -1.0}, {"clock": 0.5}, {"jitter": float("nan")}, {"corner": 0.0}],
)
def test_an_oscilloscope_that_makes_no_sense_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(SpecError, match="oscilloscope"):
        Oscilloscope(Rig(Wire()), **options)  # type: ignore[arg-type]
