"""The commands of InfiniiVision X-Series oscilloscopes that their driver uses, one line each."""

from __future__ import annotations

from .command import Action, Choice, Number, Question, switch

NUMBERS = (100, 250, 500, *(m * 10**e for e in (3, 4, 5) for m in (1, 2, 5)), 1_000_000, 2_000_000)
"""Numbers of points of a raw record that can be transferred, up to the memory."""


class InfiniiVisionCommands:
    """The commands, with the values that every model takes.

    Source:
        Keysight InfiniiVision 3000T X-Series Programmer's Guide.
    """

    RESET = Action("*RST")
    DISPLAY = switch("CHAN{channel}:DISP")
    PROBE = Number("CHAN{channel}:PROB", low=0.1, high=10_000.0)
    IMPEDANCE = Choice("CHAN{channel}:IMP", {1e6: "ONEM", 50.0: "FIFT"})
    COUPLING = Choice("CHAN{channel}:COUP", {"DC": "DC", "AC": "AC"})
    RANGE = Number("CHAN{channel}:RANG", unit="V", low=8e-3, high=40.0, tolerance=1e-2)
    OFFSET = Number("CHAN{channel}:OFFS", unit="V", low=-40.0, high=40.0)
    TIME_MODE = Choice("TIM:MODE", {"main": "MAIN"})
    TIME_REFERENCE = Choice("TIM:REF", {"center": "CENT", "left": "LEFT", "right": "RIGH"})
    DURATION = Number("TIM:RANG", unit="s", low=1e-6, high=500.0)
    POSITION = Number("TIM:POS", unit="s", low=-500.0, high=500.0, tolerance=1e-3)
    TYPE = Choice("ACQ:TYPE", {"normal": "NORM", "high resolution": "HRES"})
    MODE = Choice("ACQ:MODE", {"single": "RTIM", "segments": "SEGM"})
    SEGMENTS = Number("ACQ:SEGM:COUN", low=2, high=1000, whole=True)
    SEGMENT = Number("ACQ:SEGM:IND", low=1, high=1000, whole=True)
    TRIGGER_MODE = Choice("TRIG:MODE", {"edge": "EDGE"})
    TRIGGER_SWEEP = Choice("TRIG:SWE", {"normal": "NORM", "auto": "AUTO"})
    TRIGGER_SOURCE = Choice("TRIG:EDGE:SOUR", {"external": "EXT"})
    TRIGGER_SLOPE = Choice("TRIG:EDGE:SLOP", {"rising": "POS", "falling": "NEG"})
    TRIGGER_LEVEL = Number("TRIG:EDGE:LEV", unit="V", low=-8.0, high=8.0, tolerance=1e-2)
    TRIGGER_RANGE = Number("EXT:RANG", unit="V", low=1.6, high=8.0)
    SOURCE = Action("WAV:SOUR CHAN{channel}")
    FORMAT = Choice("WAV:FORM", {"word": "WORD", "byte": "BYTE"})
    BYTE_ORDER = Choice("WAV:BYT", {"little": "LSBF", "big": "MSBF"})
    UNSIGNED = switch("WAV:UNS")
    RECORD = Choice("WAV:POIN:MODE", {"raw": "RAW", "measurement": "NORM"})
    POINTS = Choice("WAV:POIN", {number: str(number) for number in NUMBERS})
    ALL_SEGMENTS = switch("WAV:SEGM:ALL")
    STOP = Action("STOP")
    SINGLE = Action("SING")
    ARMED = Question("AER?")
    TRIGGERED = Question("TER?")
    CONDITION = Question("OPER:COND?")
    RECORDED = Question("WAV:SEGM:COUN?")
    RATE = Question("ACQ:SRAT?")
    PREAMBLE = Question("WAV:PRE?")
    DATA = Question("WAV:DATA?")
