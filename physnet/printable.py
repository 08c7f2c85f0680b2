"""Text from a file that someone else may have made, for a terminal."""

from __future__ import annotations

import re

_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Spell out what a terminal would obey and what nobody sees: ESC becomes `\x1b`. New lines stay."""
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
