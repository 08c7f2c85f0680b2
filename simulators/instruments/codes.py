"""Error numbers of SCPI, as simulated instruments queue them."""

from __future__ import annotations

TEXTS = {
    -101: "Invalid character",
    -102: "Syntax error",
    -103: "Invalid separator",
    -104: "Data type error",
    -108: "Parameter not allowed",
    -109: "Missing parameter",
    -112: "Program mnemonic too long",
    -113: "Undefined header",
    -114: "Header suffix out of range",
    -121: "Invalid character in number",
    -123: "Exponent too large",
    -131: "Invalid suffix",
    -141: "Invalid character data",
    -148: "Character data not allowed",
    -151: "Invalid string data",
    -161: "Invalid block data",
    -168: "Block data not allowed",
    -200: "Execution error",
    -210: "Trigger error",
    -211: "Trigger ignored",
    -213: "Init ignored",
    -214: "Trigger deadlock",
    -220: "Parameter error",
    -221: "Settings conflict",
    -222: "Data out of range",
    -223: "Too much data",
    -224: "Illegal parameter value",
    -225: "Out of memory",
    -230: "Data corrupt or stale",
    -231: "Data questionable",
    -240: "Hardware error",
    -241: "Hardware missing",
    -256: "File name not found",
    -310: "System error",
    -350: "Queue overflow",
    -363: "Input buffer overrun",
    -410: "Query INTERRUPTED",
    -420: "Query UNTERMINATED",
    -430: "Query DEADLOCKED",
}
"""Texts of the standard numbers.

Source:
    SCPI-99, volume 2, section 21.8.
"""


class Refusal(Exception):
    """What an instrument says no to. It ends in the error queue and never leaves the server.

    Args:
        code: Number of the error.
        detail: What is added to the text of a standard number, or the text of an instrument's own.
    """

    def __init__(self, code: int, detail: str = "") -> None:
        self.code, self.detail = code, detail
        super().__init__(code, detail)

    @property
    def text(self) -> str:
        """Text of the entry in the queue."""
        known = TEXTS.get(self.code, "")
        return f"{known}; {self.detail}" if known and self.detail else known or self.detail


def status_bit(code: int) -> int:
    """Return the bit of the standard event status register that an error sets.

    Source:
        SCPI-99, volume 2, section 21.8.2 and following.
    """
    if -199 <= code <= -100:
        return 32
    if -299 <= code <= -200:
        return 16
    if -499 <= code <= -400:
        return 4
    return 8
