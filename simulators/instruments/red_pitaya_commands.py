"""Commands of the simulated Red Pitaya."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .codes import Refusal
from .commands import Answer, Call, Command
from .red_pitaya_generator import BUFFER, CLOCK, HALF

if TYPE_CHECKING:
    from .red_pitaya import SimulatedRedPitaya as Device

_DECIMATIONS = frozenset(1 << power for power in range(17))
_COUNT = 50_000  # cycles, and repetitions
_PERIOD = 500_000_000  # us
_TRIGGERS = ("DISABLED", "NOW", "CH1_PE", "CH1_NE", "CH2_PE", "CH2_NE", "EXT_PE", "EXT_NE", "AWG_PE", "AWG_NE")
_GENERATOR_TRIGGERS = ("INT", "EXT_PE", "EXT_NE")


def _channel(call: Call) -> int:
    return call.numbers[0] - 1


# Settings are attributes of an output or of the digitiser.


def _number(
    pattern: str,
    name: str,
    *,
    low: float,
    high: float,
    whole: bool = False,
    check: Callable[[Any], None] = lambda settings: None,
) -> Command:
    def write(device: Device, call: Call) -> None:
        call.at_most(1)
        settings = _settings(device, call)
        before, value = getattr(settings, name), call.number(low=low, high=high)
        setattr(settings, name, round(value) if whole else value)
        try:
            check(settings)
        except Refusal:
            setattr(settings, name, before)
            raise

    def ask(device: Device, call: Call) -> str:
        value = getattr(_settings(device, call), name)
        return str(value) if whole else device.format_number(value)

    return Command(pattern, write, ask)


def _word(pattern: str, name: str, words: Sequence[str], values: Sequence[Any] = ()) -> Command:
    meaning = dict(zip(words, values or words, strict=True))

    def write(device: Device, call: Call) -> None:
        call.at_most(1)
        setattr(_settings(device, call), name, meaning[call.word(*words)])

    def ask(device: Device, call: Call) -> str:
        found = getattr(_settings(device, call), name)
        return next(word for word, value in meaning.items() if value == found)

    return Command(pattern, write, ask)


def _settings(device: Device, call: Call) -> Any:
    return device.outputs[_channel(call)] if call.numbers else device.digitiser


# Generator


def _check_range(output: Any) -> None:
    if abs(output.amplitude) + abs(output.offset) > 1:
        raise Refusal(-222, "amplitude and offset must stay within 1 V")


def _set_waveform(device: Device, call: Call) -> None:
    if not 1 <= len(call) <= BUFFER:
        raise Refusal(-109 if not len(call) else -223)
    points = [call.number(index, low=-1.0, high=1.0) for index in range(len(call))]
    device.outputs[_channel(call)].points = np.array(points, np.float64)


def _waveform(device: Device, call: Call) -> str:
    return _written(device.outputs[_channel(call)].points)


def _enable(device: Device, call: Call) -> None:
    call.at_most(1)
    device.enable([_channel(call)] if call.numbers else range(len(device.outputs)), call.boolean())


def _enabled(device: Device, call: Call) -> str:
    return "ON" if device.outputs[_channel(call)].enabled else "OFF"


def _fire(device: Device, call: Call) -> None:
    call.at_most(0)
    device.fire([index == _channel(call) for index in range(len(device.outputs))])


def _fire_both(device: Device, call: Call) -> None:
    call.at_most(0)
    device.fire([output.enabled for output in device.outputs])


# Digitiser


def _start(device: Device, call: Call) -> None:
    call.at_most(0)
    device.digitiser.start(device.time)
    device.event("NOW")


def _stop(device: Device, call: Call) -> None:
    call.at_most(0)
    device.digitiser.started = None


def _set_trigger(device: Device, call: Call) -> None:
    call.at_most(1)
    device.digitiser.source = call.word(*_TRIGGERS)
    device.event("NOW")


def _set_decimation(device: Device, call: Call) -> None:
    call.at_most(1)
    value = call.number(low=1, high=65536)
    if value not in _DECIMATIONS:
        raise Refusal(-224, "decimation must be a power of 2")
    device.digitiser.decimation = int(value)


def _set_factor(device: Device, call: Call) -> None:
    call.at_most(1)
    value = call.number(low=1, high=65536)
    if value != int(value) or (value < 16 and value not in _DECIMATIONS):
        raise Refusal(-224, "decimation must be 1, 2, 4, 8, or 16 and more")
    device.digitiser.decimation = int(value)


def _decimation(device: Device, call: Call) -> str:
    return str(device.digitiser.decimation)


def _set_delay_ns(device: Device, call: Call) -> None:
    call.at_most(1)
    device.digitiser.delay = round(call.number(low=-1e15, high=1e15) * 1e-9 * device.digitiser.rate)


def _set_gain(device: Device, call: Call) -> None:
    call.at_most(1)
    device.digitiser.high[_channel(call)] = call.word("LV", "HV") == "HV"


def _sent(device: Device, channel: int, first: int, count: int) -> Answer:
    """Return some samples from a place in the ring on, as they were asked for."""
    count = min(count, BUFFER)
    codes_T = device.ring()[channel, (first + np.arange(count)) % BUFFER]
    if device.digitiser.raw:
        return codes_T.astype(">i2").tobytes() if device.digitiser.binary else _written(codes_T)
    volts_T = codes_T * (device.digitiser.full_scale(channel) / HALF)
    return volts_T.astype(">f4").tobytes() if device.digitiser.binary else _written(volts_T)


def _written(values: NDArray[Any]) -> str:
    style = "d" if values.dtype.kind == "i" else ".6f"
    return "{" + ",".join(format(value, style) for value in values.tolist()) + "}"


def _place(call: Call, index: int) -> int:
    return int(call.number(index, low=0, high=BUFFER))


def _data_from(device: Device, call: Call) -> Answer:
    call.at_most(2)
    return _sent(device, _channel(call), _place(call, 0), _place(call, 1))


def _data_between(device: Device, call: Call) -> Answer:
    call.at_most(2)
    first, last = _place(call, 0), _place(call, 1)
    return _sent(device, _channel(call), first, (last - first) % BUFFER + 1)


def _oldest(device: Device, call: Call) -> Answer:
    call.at_most(1)
    count = _place(call, 0) if len(call) else BUFFER
    return _sent(device, _channel(call), device.digitiser.write_position(device.time) + 1, count)


def _latest(device: Device, call: Call) -> Answer:
    call.at_most(1)
    count = _place(call, 0)
    return _sent(device, _channel(call), device.digitiser.write_position(device.time) + 1 - count, count)


def _around_trigger(device: Device, call: Call) -> Answer:
    call.at_most(2)
    count, where = _place(call, 0), call.word("PRE_TRIG", "POST_TRIG", "PRE_POST_TRIG", index=1)
    position = device.digitiser.trigger_position
    if where == "POST_TRIG":
        return _sent(device, _channel(call), position, count + 1)
    return _sent(device, _channel(call), position - count, count + 1 if where == "PRE_TRIG" else 2 * count + 1)


GENERATOR = (
    Command("GEN:RST", lambda device, call: device.reset_generator()),
    Command("PHAS:ALIGN", _fire_both),
    Command("OUTPUT#:STATE", _enable, _enabled),
    Command("OUTPUT:STATE", _enable),
    Command("SOUR#:TRig:INT", _fire),
    Command("SOUR:TRig:INT", _fire_both),
    _word("SOUR#:TRig:SOUR", "trigger", _GENERATOR_TRIGGERS),
    _word("SOUR#:FUNC", "function", ("SINE", "DC", "ARBITRARY")),
    _number("SOUR#:FREQ:FIX", "frequency", low=1e-6, high=CLOCK / 2),
    _number("SOUR#:VOLT", "amplitude", low=-1.0, high=1.0, check=_check_range),
    _number("SOUR#:VOLT:OFFS", "offset", low=-1.0, high=1.0, check=_check_range),
    Command("SOUR#:TRAC:DATA:DATA", _set_waveform, _waveform),
    _word("SOUR#:BURS:STAT", "burst", ("CONTINUOUS", "BURST"), (False, True)),
    _number("SOUR#:BURS:NCYC", "cycles", low=1, high=_COUNT, whole=True),
    _number("SOUR#:BURS:NOR", "repetitions", low=1, high=_COUNT, whole=True),
    _number("SOUR#:BURS:INT:PER", "period", low=1, high=_PERIOD, whole=True),
    _number("SOUR#:BURS:LASTValue", "last", low=-1.0, high=1.0),
    _number("SOUR#:BURS:INITValue", "initial", low=-1.0, high=1.0),
    _number("SOUR#:INITValue", "initial", low=-1.0, high=1.0),
)
DIGITISER = (
    Command("ACQ:START", _start),
    Command("ACQ:STOP", _stop),
    Command("ACQ:RST", lambda device, call: device.reset_digitiser()),
    Command("ACQ:DEC", _set_decimation, _decimation),
    Command("ACQ:DEC:Factor", _set_factor, _decimation),
    Command("ACQ:SRATe", ask=lambda device, call: f"{device.digitiser.rate:9.0f} Hz"),
    _word("ACQ:AVG", "averaging", ("OFF", "ON"), (False, True)),
    Command("ACQ:TRig", _set_trigger),
    Command("ACQ:TRig:STAT", ask=lambda device, call: "TD" if device.digitiser.source == "DISABLED" else "WAIT"),
    Command("ACQ:TRig:FILL", ask=lambda device, call: str(int(device.digitiser.filled(device.time)))),
    _number("ACQ:TRig:DLY", "delay", low=-BUFFER, high=2**31 - 1, whole=True),
    Command(
        "ACQ:TRig:DLY:NS",
        _set_delay_ns,
        lambda device, call: str(round(device.digitiser.delay / device.digitiser.rate * 1e9)),
    ),
    Command("ACQ:SOUR#:GAIN", _set_gain, lambda device, call: "HV" if device.digitiser.high[_channel(call)] else "LV"),
    Command("ACQ:TPOS", ask=lambda device, call: str(device.digitiser.trigger_position)),
    Command("ACQ:WPOS", ask=lambda device, call: str(device.digitiser.write_position(device.time))),
    _word("ACQ:DATA:UNITS", "raw", ("VOLTS", "RAW"), (False, True)),
    _word("ACQ:DATA:FORMAT", "binary", ("ASCII", "BIN"), (False, True)),
    Command("ACQ:BUF:SIZE", ask=lambda device, call: str(BUFFER)),
    Command("ACQ:SOUR#:DATA", ask=_oldest),
    Command("ACQ:SOUR#:DATA:OLD:N", ask=_oldest),
    Command("ACQ:SOUR#:DATA:LAT:N", ask=_latest),
    Command("ACQ:SOUR#:DATA:STArt:N", ask=_data_from),
    Command("ACQ:SOUR#:DATA:STArt:END", ask=_data_between),
    Command("ACQ:SOUR#:DATA:TRig", ask=_around_trigger),
)
COMMANDS = (
    *GENERATOR,
    *DIGITISER,
    Command("SYSTem:VERSion", ask=lambda device, call: "1999.0"),
    Command("SYSTem:BRD:Name", ask=lambda device, call: "STEMlab 125-14 (simulated)"),
)
"""The device's own commands."""
