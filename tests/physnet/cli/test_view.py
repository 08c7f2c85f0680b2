"""`physnet view`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Answer = subprocess.CompletedProcess[str]
Call = Callable[..., Answer]
BENCH = Path(__file__).with_name("bench.py")
ROOM: tuple[str, ...] = (
    "acoustic",
    "--set",
    "size=[0.3,0.3]",
    "--set",
    "pitch=0.03",
    "--set",
    "slot=1.5e-3",
    "--set",
    "scatterers=1",
)
ROOM += ("--set", "window=1e-3", "--set", "sources=4", "--set", "responses=3", "--set", "drives=4")


def last_object(answer: Answer) -> dict[str, Any]:
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


def test_a_registered_system_is_shown(call: Call, tmp_path: Path) -> None:
    answer = call("view", *ROOM, "-o", tmp_path / "out", "--movie", "none", "--json")
    one = last_object(answer)
    assert set(one["files"]) == {"geometry", "field", "response"} and one["kind"] == "simulated"
    assert all(Path(path).stat().st_size > 5_000 for path in one["files"].values())
    # The two routes of a linear cavity agree within rounding; see tests of the simulator.
    assert one["deviation"] < 2e-5 and "SIMULATED" in answer.stdout


def test_impairments_leave_the_field_visible_and_say_so(call: Call, tmp_path: Path) -> None:
    noisy = ("--set", "impairments.noise=0.05", "--set", "impairments.dac_bits=4")
    one = last_object(call("view", *ROOM, *noisy, "-o", tmp_path, "--movie", "none", "--json"))
    assert "field" in one["files"] and one["deviation"] is None
    assert "without its impairments" in one["notes"][0]


def test_one_system_of_an_experiment_is_shown(call: Call, tmp_path: Path, tiny: Path) -> None:
    answer = call("view", tiny, "--system", "upper", "-o", tmp_path, "--movie", "none", "--json")
    assert last_object(answer)["name"] == "upper"


def test_an_own_system_is_a_black_box_and_a_measured_one_needs_a_word(call: Call, tmp_path: Path) -> None:
    one = last_object(call("view", f"{BENCH}:plain", "-o", tmp_path, "--json"))
    assert set(one["files"]) == {"response"} and "shows no field" in one["notes"][0]
    refused = call("view", f"{BENCH}:instrument", "-o", tmp_path / "no")
    assert refused.returncode == 2 and "--yes" in refused.stderr and not (tmp_path / "no").exists()
    assert last_object(call("view", f"{BENCH}:instrument", "-o", tmp_path, "--yes", "--json"))["kind"] == "measured"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("acustic",), "neither a system nor a shipped experiment"),
        (("acoustic", "--system", "lower"), "--system must be left out"),
        (("digits-acoustic",), "--system must be one of lower, upper"),
        (("digits-acoustic", "--system", "middle"), "got 'middle'"),
        (("acoustic", "--drive", "absent.npy"), "--drive must be random, one or a file"),
        (("acoustic", "--seed", -1), "--seed must be >= 0"),
        (("acoustic", "--set", "colour=3"), "colour"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    call: Call, tmp_path: Path, words: tuple[object, ...], message: str
) -> None:
    answer = call("view", *words, "-o", tmp_path / "out")
    assert answer.returncode == 2 and message in " ".join(answer.stderr.split())
    assert not (tmp_path / "out").exists()
