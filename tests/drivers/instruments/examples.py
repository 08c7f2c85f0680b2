"""What each registered instrument of ours answers to `*IDN?`, and the options beside its resource.

The identities are as public documents and drivers show them, with a serial number of nobody's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from physnet.drivers.scripted import ScriptedTransport, Step


@dataclass(frozen=True, kw_only=True)
class Example:
    """An instrument of a registered kind.

    Args:
        identity: Its answer to `*IDN?`; empty for one that has no line that speaks SCPI.
        options: Keywords of its driver beside `resource` and `transport`.
    """

    identity: str
    options: Mapping[str, Any] = field(default_factory=dict)


EXAMPLES: Mapping[str, Example] = {
    "keysight_33500b": Example(identity="Agilent Technologies,33522B,MY50000001,3.05-1.19-2.00-52-00"),
    "keysight_infiniivision": Example(identity="KEYSIGHT TECHNOLOGIES,DSO-X 3024T,MY50000002,07.20.2017102614"),
    "red_pitaya": Example(identity="REDPITAYA,INSTR2024,0,01-16"),
    "rohde_schwarz_znb": Example(identity="Rohde&Schwarz,ZNB8-4Port,1311601044100005,3.40"),
    "sound_card": Example(identity=""),
}


def opening(identity: str) -> Step:
    """All that may be sent while a line is opened."""
    return Step(b"*CLS\n*IDN?\n", identity.encode() + b"\n")


def lines(*sent: str, answer: str = "") -> Step:
    """Commands in one send, and the answer to the last one."""
    return Step("".join(line + "\n" for line in sent).encode(), (answer + "\n").encode() if answer else b"")


def scripted(identity: str, *steps: Step) -> ScriptedTransport:
    """A line that plays a script after the opening."""
    return ScriptedTransport(opening(identity), *steps)
