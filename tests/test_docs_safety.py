"""The page about safety leaves no driver, limit or signal out."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import re
import signal
from pathlib import Path

import pytest

from physnet.drivers.benches.waveform_limits import WaveformLimits
from physnet.interrupts import StopRequest

TEXT = (Path(__file__).parents[1] / "docs" / "safety.md").read_text(encoding="utf-8")


def test_what_remains_on_is_told_of_every_driver_of_ours() -> None:
    section = TEXT.split("## What remains on")[1].split("\n## ")[0]
    told = {name for row in section.splitlines() if row.startswith("| `") for name in re.findall(r"`(\w+)`", row[:60])}
    instruments = {
        entry.name
        for entry in importlib.metadata.entry_points(group="physnet.instruments")
        if entry.value.startswith("physnet.")
    }
    boards = {
        entry.name
        for entry in importlib.metadata.entry_points(group="physnet.systems")
        if entry.value.startswith("physnet.drivers.boards")
    }
    assert instruments and boards and told == instruments | boards


def test_every_limit_is_named() -> None:
    assert all(f"`{field.name}`" in TEXT for field in dataclasses.fields(WaveformLimits))


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs SIGHUP")
def test_a_closed_terminal_is_no_kill_where_the_system_tells_of_it() -> None:
    before = signal.getsignal(signal.SIGHUP)
    with StopRequest():
        assert signal.getsignal(signal.SIGHUP) is not before
    assert "SIGHUP" in TEXT
