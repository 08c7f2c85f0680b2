"""`physnet characterise`, and `physnet train --characterise`."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from physnet.characterisation import load
from physnet.errors import SessionError
from physnet.session import open_run

Answer = subprocess.CompletedProcess[str]
Call = Callable[..., Answer]
BENCH = Path(__file__).with_name("bench.py")
SCATTERING = ("scattering", "--set", "drives=10", "--set", "responses=12", "--passes", 800)


def last_object(answer: Answer) -> dict[str, Any]:
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


def test_a_registered_system_is_measured_saved_drawn_and_put_into_words(call: Call, tmp_path: Path) -> None:
    noise = ("--set", "impairments.noise=0.05")
    answer = call("characterise", *SCATTERING, *noise, "--output", tmp_path, "--plot", "--json")
    (one,) = last_object(answer)["systems"]
    assert one["passes"] == 800 == sum(one["plan"].values())
    # 110 couples of 12 channels, rows of unlike power: a relative error of 4 %; five of them.
    assert one["quantities"]["relative_noise"]["value"] == pytest.approx(0.05, rel=0.2)
    assert one["quantities"]["memory"]["resolved"] is False
    assert Path(one["file"]) == tmp_path / "characterisation-scattering.h5"
    assert (tmp_path / "characterisation-scattering.png").stat().st_size > 10_000
    assert load(Path(one["file"])).sentences == tuple(one["sentences"])
    assert "SIMULATED" in answer.stdout
    assert all(sentence in answer.stdout for sentence in one["sentences"])


def test_the_seed_is_that_of_the_drives_and_repeats_the_measurement(call: Call, tmp_path: Path) -> None:
    def quantities(*words: object) -> Any:
        return last_object(call("characterise", *SCATTERING, "--output", tmp_path, "--json", *words))["systems"][0][
            "quantities"
        ]

    assert quantities() == quantities("--seed", 0) != quantities("--seed", 1)


@pytest.mark.parametrize("name", ["plain", "no_grad", "instrument"])
def test_a_system_in_a_file_is_measured(call: Call, tmp_path: Path, name: str) -> None:
    answer = call("characterise", f"{BENCH}:{name}", "--passes", 800, "--output", tmp_path, "--json")
    (one,) = last_object(answer)["systems"]
    assert one["kind"] == ("measured" if name == "instrument" else "simulated")
    assert ("(MEASURED)" in answer.stdout) is (name == "instrument")


def test_every_system_of_an_experiment_is_measured(call: Call, tmp_path: Path, tiny: Path) -> None:
    answer = call("characterise", tiny, "--passes", 800, "--output", tmp_path / "out", "--json")
    systems = last_object(answer)["systems"]
    assert [one["name"] for one in systems] == ["lower", "upper"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "characterisation-lower.h5",
        "characterisation-upper.h5",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("scatering",), "neither a system nor a shipped experiment"),
        (("scattering",), "drives is missing"),
        ((*SCATTERING, "--set", "colour=3"), "colour"),
        ((*SCATTERING, "--set", "responses=-1"), "responses must be >= 1"),
        ((*SCATTERING[:-1], 10), "passes of a characterisation must be"),
        ((*SCATTERING, "--seed", -1), "--seed must be >= 0"),
        ((*SCATTERING, "--set", "impairments=3"), "impairments must be a table"),
        ((*SCATTERING, "--set", "impairments.nose=3"), "impairments"),
        ((f"{BENCH}:plain", "--set", "drives=3"), "already made"),
        ((f"{BENCH}:absent",), "can't be made"),
        ((f"{BENCH}:Unplugged",), "can't be opened"),
        ((f"{BENCH}:not_a_system",), "must be a system"),
        (("missing.toml",), "no experiment file"),
    ],
)
def test_bad_input_is_told_and_leaves_nothing(
    call: Call, tmp_path: Path, words: tuple[object, ...], message: str
) -> None:
    answer = call("characterise", *words, "--output", tmp_path / "out")
    assert answer.returncode == 2, answer.stderr
    assert message in " ".join(answer.stderr.split())
    assert not (tmp_path / "out").exists()


def test_a_run_can_be_characterised_first_and_its_passes_count(call: Call, tmp_path: Path, tiny: Path) -> None:
    plain = last_object(call("train", tiny, "--output", tmp_path / "plain", "--json"))
    answer = call("train", tiny, "--output", tmp_path / "told", "--characterise", "--json")
    result = last_object(answer)
    assert result["passes"] == {**plain["passes"], "calibrate": 4000}
    assert result["physical_passes"] == plain["physical_passes"] + 4000
    # These systems are reproducible: looking at them first changes nothing.
    assert result["weights_sha256"] == plain["weights_sha256"]
    folder = Path(result["session"])
    assert open_run(folder).status == "done"
    assert load(folder / "characterisation-lower.h5").name == "lower"
    assert (folder / "characterisation-upper.png").exists()
    shown = call("show", folder).stdout
    assert "characterised" not in call("show", tmp_path / "plain").stdout
    # a file from another run's folder is told from one of this run
    other = Path(plain["session"])
    shutil.copy(folder / "characterisation-lower.h5", other)
    assert "belongs to another run" in " ".join(call("show", other).stdout.split())
    found = open_run(folder).characterisations()
    assert {one.name for one in found} == {"lower", "upper"}
    for one in found:
        head = f"{one.name}: SIMULATED, 2000 passes, characterisation-{one.name}.h5."
        assert " ".join([head, *one.sentences]) in " ".join(shown.split())


def test_a_run_can_be_characterised_afterwards_and_the_session_shows_it(call: Call, tmp_path: Path, tiny: Path) -> None:
    last_object(call("train", tiny, "--output", tmp_path / "runs", "--set", "training.epochs=1", "--json"))
    answer = call("characterise", tmp_path / "runs", "--passes", 800, "--json")
    systems = last_object(answer)["systems"]
    run = open_run(Path(systems[0]["file"]).parent)
    assert run.folder.parent == tmp_path / "runs"
    assert [one["name"] for one in systems] == ["lower", "upper"]
    assert [one.count.passes for one in run.characterisations()] == [800, 800]
    assert run.result is not None and run.result.passes["calibrate"] == 0  # it was not the run that measured
    drawn = call("show", run.folder, "--figures", tmp_path / "figures").stdout
    for name in ("lower", "upper"):
        figure = tmp_path / "figures" / f"characterisation-{name}.png"
        assert figure.stat().st_size > 10_000
        assert str(figure) in drawn
    elsewhere = call("characterise", run.folder, "--passes", 800, "--output", tmp_path / "out")
    assert elsewhere.returncode == 0
    assert len(list((tmp_path / "out").iterdir())) == 2
    changed = call("characterise", run.folder, "--set", "training.epochs=3")
    assert changed.returncode == 2
    assert "--set must be left out" in changed.stderr


def test_a_damaged_characterisation_does_not_hide_the_run(call: Call, tmp_path: Path, tiny: Path) -> None:
    result = last_object(call("train", tiny, "--output", tmp_path / "runs", "--set", "training.epochs=1", "--json"))
    folder = Path(result["session"])
    (folder / "characterisation-lower.h5").write_bytes(b"cut short")
    answer = call("show", folder, "--plot")
    assert answer.returncode == 0
    assert "can't be read as a characterisation" in " ".join(answer.stdout.split())
    assert "none of characterisation-lower.h5" in answer.stderr
    assert (folder / "figures" / "learning.png").exists()
    with pytest.raises(SessionError, match="can't be read as a characterisation"):
        open_run(folder).characterisations()
