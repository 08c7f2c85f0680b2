from __future__ import annotations

import itertools

import numpy as np
import pytest

from physnet.errors import SpecError
from physnet.simulators.instruments.generator import Generator
from physnet.simulators.instruments.medium import Wire
from physnet.simulators.instruments.rig import Rig, Trace
from tests.simulators.instruments.scpi_bench import SETUP, Bench, bench, until

RAMP = np.concatenate([np.arange(-30000, 30001, 250), np.zeros(1)]).astype(np.int16)


class Ear:
    def __init__(self, bench: Bench) -> None:
        self.traces: list[Trace] = []
        bench.rig.connect(self)

    def hear(self, trace: Trace) -> None:
        self.traces.append(trace)


def test_a_burst_is_its_codes_in_volts_at_the_load() -> None:
    with bench() as b:
        ear = Ear(b)
        b.source.send(*SETUP, "VOLT 0.4", "OUTP1 ON")
        b.upload(RAMP)
        b.play()
        (trace,) = ear.traces
        # 0.4 V peak to peak from -32767 to 32767; a code is exact, so only rounding is left.
        assert np.allclose(trace.volts[1][: len(RAMP)], RAMP / 32767 * 0.2, rtol=0, atol=1e-15)
        assert not trace.volts[1][len(RAMP) :].any()
        assert trace.sample_rate == 64e3
        assert (trace.rises.tolist(), trace.falls.tolist()) == ([0.0], [len(RAMP) / 64e3])
        assert b.errors(b.source) == []


@pytest.mark.parametrize(("order", "kind"), [("NORM", ">"), ("SWAP", "<")])
def test_both_byte_orders_and_both_kinds_of_numbers_mean_the_same(order: str, kind: str) -> None:
    values = np.linspace(-1, 1, 16)
    codes = np.round(values * 32767)
    with bench() as b:
        b.source.send(f"FORM:BORD {order}")
        for name, data in (
            ("A", values.astype(f"{kind}f4").tobytes()),
            ("B:DAC C", codes.astype(f"{kind}i2").tobytes()),
        ):
            head, _, label = name.rpartition(":DAC ")
            header = f"DATA:ARB:DAC {label}" if head else f"DATA:ARB {label}"
            b.source.socket.sendall(f"{header},#2{len(data)}".encode() + data + b"\n")
        b.source.send("DATA:ARB D," + ",".join(f"{value:.9f}" for value in values))
        assert b.source.ask("DATA:VOL:CAT?") == '"INT:\\BUILTIN\\EXP_RISE.ARB","A","C","D"'
        memory = b.generator.memory[1]
        assert np.array_equal(memory.waveform("A"), codes)
        assert np.array_equal(memory.waveform("C"), codes)
        assert np.array_equal(memory.waveform("D"), codes)
        assert float(b.source.ask("DATA:ATTR:PTP? D")) == 2.0
        assert int(b.source.ask("DATA:ATTR:POIN? D")) == 16
        assert b.errors(b.source) == []


def test_the_voltage_at_the_load_follows_from_what_is_really_connected() -> None:
    with bench(generator={"load": (50.0, 1e6)}) as b:
        ear = Ear(b)
        b.source.send(*SETUP, "OUTP1:LOAD INF", "VOLT 0.4", "OUTP1 ON")
        b.upload(RAMP)
        b.play()
        # Told an open line, connected to 50 Ohm: half of the voltage.
        assert np.allclose(ear.traces[0].volts[1].max(), 30000 / 32767 * 0.1, rtol=1e-12)


def test_amplitude_limits_follow_the_load_and_what_is_beyond_is_clipped_and_refused() -> None:
    with bench() as b:
        for load, largest in (("50", 10.0), ("INF", 20.0), ("150", 15.0)):
            b.source.send(f"OUTP1:LOAD {load}")
            assert float(b.source.ask("VOLT? MAX")) == pytest.approx(largest, rel=1e-12)
            b.source.send("VOLT 30")
            assert float(b.source.ask("VOLT?")) == pytest.approx(largest, rel=1e-12)
            assert b.errors(b.source) == [-222]
        assert float(b.source.ask("OUTP1:LOAD?")) == 150.0
        # The source's voltage stays when it is told another load.
        b.source.send("OUTP1:LOAD 50")
        assert float(b.source.ask("VOLT?")) == pytest.approx(10.0)
        b.source.send("OUTP1:LOAD INF")
        assert float(b.source.ask("OUTP1:LOAD?")) == 9.9e37
        assert float(b.source.ask("VOLT?")) == pytest.approx(20.0)


def test_amplitude_and_offset_share_the_range() -> None:
    with bench() as b:
        b.source.send("VOLT 2", "VOLT:OFFS 4")
        assert b.errors(b.source) == []
        b.source.send("VOLT:OFFS 4.5")  # 5 V are the most
        assert float(b.source.ask("VOLT:OFFS?")) == 4.0
        assert b.errors(b.source) == [-222]
        b.source.send("VOLT 4")
        assert float(b.source.ask("VOLT:OFFS?")) == 3.0
        assert b.errors(b.source) == [-221]


def test_an_amplitude_is_that_of_the_waveform_so_its_volts_per_code_depend_on_what_it_spans() -> None:
    half = np.array([0, 8192, 16384, 0, 0, 0, 0, 0], np.int16)  # a quarter of -32767 to 32767
    with bench(generator={"scaling": "waveform"}) as b:
        ear = Ear(b)
        b.source.send(*SETUP)
        b.upload(half)
        # 10 V from the lowest to the highest code, of which this waveform has a quarter.
        assert float(b.source.ask("VOLT? MAX")) == pytest.approx(10 * 16384 / 65534, rel=1e-12)
        b.source.send("VOLT 0.2", "OUTP1 ON")
        b.play()
        assert ear.traces[0].volts[1].max() == pytest.approx(0.2, rel=1e-12)
        assert ear.traces[0].volts[1].min() == 0.0
        b.source.send("VOLT 2.5")
        assert b.errors(b.source) == []
        b.upload(half // 2, name="X")  # half as much: at most 1.25 V
        assert float(b.source.ask("VOLT?")) == pytest.approx(10 * 8192 / 65534, rel=1e-12)
        assert b.errors(b.source) == [-221]


def test_a_held_range_limits_the_amplitude_and_fixes_the_volts_of_a_code() -> None:
    with bench() as b:
        ear = Ear(b)
        b.source.send(*SETUP, "VOLT 2", "VOLT:RANG:AUTO OFF", "VOLT 0.002", "OUTP1 ON")
        b.upload(RAMP)
        b.play()
        volts = ear.traces[0].volts[1]
        # Codes of a range of 1 V: 1/32767 V each, so 1 mV is the peak of the 33rd and all are whole multiples.
        assert np.allclose(volts * 32767, np.round(volts * 32767), rtol=0, atol=1e-9)
        assert volts.max() == pytest.approx(30 / 32767, rel=1e-12)
        b.source.send("VOLT 3")
        assert float(b.source.ask("VOLT?")) == pytest.approx(2.0, rel=1e-3)
        assert b.errors(b.source) == [-222]
        b.source.send("VOLT:RANG:AUTO ON", "VOLT 3")
        assert float(b.source.ask("VOLT?")) == 3.0
        assert b.source.ask("VOLT:RANG:AUTO?") == "1"


def test_names_of_waveforms_are_checked_and_memory_is_bounded() -> None:
    with bench(generator={"points": 100}) as b:
        b.upload(np.zeros(60, np.int16), name="one")
        b.upload(np.zeros(60, np.int16), name="ONE")
        b.upload(np.zeros(60, np.int16), name="two")
        assert b.errors(b.source) == [786, 781, 785]
        assert int(b.source.ask("DATA:VOL:FREE?")) == 40
        b.upload(np.zeros(7, np.int16), name="short")
        b.upload(np.zeros(8, np.int16), name="much_too_long")
        b.source.send("DATA:ARB:DAC odd,#13abc", "DATA:ARB big,0,0,0,0,0,0,0,1.5", "FUNC:ARB nothing")
        assert b.errors(b.source) == [-222, 785, 783, 785, -161, -222, 785]
        b.source.send("DATA:VOL:CLE")
        assert b.source.ask("FUNC:ARB?;:DATA:VOL:FREE?") == '"EXP_RISE";+100'


def test_a_sequence_is_stored_selected_and_not_burst() -> None:
    text = '"S","one",2,repeat,highAtStart,10,two,0,once,maintain,4'
    with bench() as b:
        b.upload(np.full(20, 5, np.int16), name="one")
        b.upload(np.full(30, -5, np.int16), name="two")
        b.source.send(f"DATA:SEQ #2{len(text)}{text}", "FUNC ARB", "FUNC:ARB S")
        assert b.errors(b.source) == []
        assert int(b.source.ask("DATA:ATTR:POIN? S")) == 50
        b.source.send("BURS:STAT ON")
        assert b.errors(b.source) == [-221]
        for wrong, code in (
            ('"T","one",2,repeat,highAtStart', -161),
            ('"T","none",2,repeat,maintain,4', 785),
            ('"T","one",2,sometimes,maintain,4', -224),
            ('"T","one",x,once,maintain,4', -121),
            ('"S","one",1,once,maintain,4', 786),
        ):
            b.source.send(f"DATA:SEQ #2{len(wrong)}{wrong}")
            assert b.errors(b.source) == [code]


def test_a_sample_rate_is_limited_by_the_filter() -> None:
    with bench() as b:
        b.source.send("FUNC:ARB:FILT OFF", "FUNC:ARB:SRAT 100e6")
        assert float(b.source.ask("FUNC:ARB:SRAT?")) == 62.5e6
        b.source.send("FUNC:ARB:FILT NORM", "FUNC:ARB:SRAT 100e6", "FUNC:ARB:FILT OFF")
        assert float(b.source.ask("FUNC:ARB:SRAT?")) == 62.5e6
        assert b.errors(b.source) == [-221, -221]


def test_a_trigger_that_nobody_waits_for_is_ignored() -> None:
    with bench() as b:
        b.source.send("*TRG", *SETUP, "TRIG1:SOUR EXT", "*TRG", "TRIG1")
        assert b.errors(b.source) == [-211, -211, -211]
        assert b.source.ask("STAT:OPER:COND?") == "+0"
        b.source.send("TRIG1:SOUR BUS")
        assert b.source.ask("STAT:OPER:COND?") == "+32"


def test_the_end_of_a_burst_is_reported_once_and_only_then() -> None:
    with bench(generator={"pace": 1.0}) as b:
        b.source.send(*SETUP, "OUTP1 ON", "*CLS")
        b.upload(np.zeros(6400, np.int16))  # 0.1 s
        b.source.send("*TRG;*OPC")
        assert b.source.ask("*ESR?") == "+0"
        assert b.source.ask("STAT:OPER:COND?") == "+0"
        b.source.send("*TRG")
        assert b.errors(b.source) == [-211]
        until(lambda: int(b.source.ask("*ESR?")) & 1)
        assert b.source.ask("*OPC?") == "1"
        assert int(b.source.ask("*ESR?")) == 0


@pytest.mark.parametrize("command", ["ABOR", "OUTP1 OFF", "*RST", "BURS:STAT OFF"])
def test_a_burst_ends_early_at_0_volt(command: str) -> None:
    with bench(generator={"pace": 1.0}) as b:
        ear = Ear(b)
        b.source.send(*SETUP, "VOLT 2", "OUTP1 ON")
        b.upload(np.full(2 * 6400, 16384, np.int16))  # 0.2 s
        b.source.send("*TRG")
        until(lambda: any(event.kind == "burst" for event in b.rig.log))
        b.source.send(command)
        assert b.source.ask("*OPC?") == "1"
        volts = ear.traces[0].volts[1]
        played = np.flatnonzero(volts)
        # It had begun, it did not end by itself, and nothing comes after the cut.
        assert len(played) < 12800
        assert np.array_equal(played, np.arange(len(played)))
        kinds = [event.kind for event in b.rig.log if event.channel == 1]
        assert kinds[kinds.index("burst") + 1] == "cut"


def test_the_log_tells_what_outputs_did_in_order_and_how_loud() -> None:
    with bench() as b:
        b.source.send("*RST", *SETUP, "VOLT 0.4")
        b.upload(RAMP)
        b.source.send("OUTP1 ON")
        b.play()
        b.source.send("OUTP1 OFF", "BURS:STAT OFF", "OUTP1 ON")
        assert b.source.ask("*OPC?") == "1"
        log = [(event.kind, event.peak) for event in b.rig.log if event.channel == 1]
        assert [kind for kind, _ in log] == ["off", "on", "burst", "off", "on"]
        # Continuous output is as loud as its full scale; a burst rests at 0 V.
        assert [peak for _, peak in log] == [0.0, 0.0, pytest.approx(0.2 * 30000 / 32767), 0.0, pytest.approx(0.2)]
        assert all(a.time <= c.time for a, c in itertools.pairwise(b.rig.log))


def test_sync_marks_cycles_or_the_burst() -> None:
    with bench() as b:
        ear = Ear(b)
        b.source.send(*SETUP, "BURS:NCYC 3", "MARK:POIN 16", "OUTP1 ON")
        b.upload(np.zeros(64, np.int16))
        for mode, rises, falls in (
            ("NORM", [0], [192]),
            ("CARR", [0, 64, 128], [32, 96, 160]),
            ("MARK", [0, 64, 128], [16, 80, 144]),
        ):
            b.source.send(f"OUTP:SYNC:MODE {mode}")
            b.play()
            assert (ear.traces[-1].rises * 64e3).tolist() == rises
            assert (ear.traces[-1].falls * 64e3).tolist() == falls
        b.source.send("OUTP:SYNC OFF")
        b.play()
        assert len(ear.traces[-1].rises) == 0


def test_two_channels_start_at_one_trigger_and_must_fit() -> None:
    with bench(Wire(gains=((1.0, 10.0),)), sources=(1, 2)) as b:
        ear = Ear(b)
        two = [line.replace("OUTP1", "OUTP2").replace("SOUR1", "SOUR2").replace("TRIG1", "TRIG2") for line in SETUP]
        b.source.send(*SETUP, *two, "SOUR1:VOLT 2", "SOUR2:VOLT 4", "OUTP1 ON", "OUTP2 ON")
        b.upload(np.full(16, 32767, np.int16), channel=1)
        b.upload(np.full(16, -32767, np.int16), channel=2)
        b.play()
        assert np.allclose(ear.traces[0].volts[1], 1.0 - 20.0, rtol=1e-12)
        b.upload(np.zeros(32, np.int16), name="L", channel=2)
        b.source.send("*TRG")
        assert b.errors(b.source) == [-221]


def test_a_unit_with_one_channel_has_one() -> None:
    with bench(generator={"model": "33521B"}) as b:
        assert b.source.ask("*IDN?") == "Agilent Technologies,33521B,SIMULATED,5.00-1.19-2.00-58-00"
        b.source.send("OUTP2 OFF", "SOUR2:VOLT 1")
        assert b.errors(b.source) == [-114, -114]


@pytest.mark.parametrize(
    "options", [{"model": "33220A"}, {"load": (0.0,)}, {"pace": -1.0}, {"points": 4}, {"scaling": "loud"}]
)
def test_a_generator_that_makes_no_sense_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(SpecError, match="generator"):
        Generator(Rig(Wire()), **options)  # type: ignore[arg-type]
