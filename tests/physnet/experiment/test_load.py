from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from physnet.errors import ExperimentError, InputError
from physnet.experiment import Experiment, load_experiment
from physnet.experiment import load as load_module


@dataclass(frozen=True)
class FakeEntry:
    name: str
    value: str
    load: Callable[[], Any]


@dataclass(frozen=True, kw_only=True)
class Drift:
    profile: Literal["linear", "sine"] = "linear"
    rate: float = 0.0

    def __post_init__(self) -> None:
        if self.profile == "sine" and self.rate:
            raise ValueError("a sine drift must have no rate.")


class Scattering:
    def __init__(
        self,
        *,
        drives: Annotated[int, Field(ge=1)],
        responses: Annotated[int, Field(ge=1)],
        camera: Literal["modulus", "intensity"] = "modulus",
        turn: Drift | None = None,
        seed: int = 0,
    ) -> None:
        raise AssertionError("nothing is opened while a file is checked")


class Impaired:
    def __init__(
        self,
        system: Any,
        *,
        seed: int = 0,
        noise: Annotated[float, Field(ge=0)] = 0.0,
        full_scale: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto",
        gain_drift: Drift | None = None,
    ) -> None:
        raise AssertionError("nothing is opened while a file is checked")


@dataclass(frozen=True, kw_only=True)
class PhyLL:
    theta: Annotated[float, Field(gt=0)] = 4.0
    low: float = 0.0

    def __post_init__(self) -> None:
        if self.low > self.theta:
            raise InputError("low must be below theta.")


@dataclass(frozen=True, kw_only=True)
class Other:
    rate: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Levels:
    bits: Annotated[int, Field(ge=1)] = 2


@dataclass(frozen=True, kw_only=True)
class Split:
    pass


FAKES: dict[str, dict[str, Any]] = {
    "physnet.systems": {"scattering": Scattering},
    "physnet.impairments": {"impaired": Impaired},
    "physnet.rules": {"phyll": PhyLL, "other": Other},
}
ENCODERS = {"levels": Levels, "split": Split}


def _entries(group: str) -> list[FakeEntry]:
    def entry(name: str, thing: Any) -> FakeEntry:
        return FakeEntry(name, f"fakes:{name}", lambda: thing)

    return [entry(name, thing) for name, thing in FAKES.get(group, {}).items()]


GOOD = """\
title = "two layers"

[data]
name = "digits"

[systems.cavity]
type = "scattering"
responses = 100

[systems.cavity.impairments]
noise = 0.02

[[layers]]
system = "cavity"
width = 50
encoder = "levels"

[[layers]]
system = "cavity"
width = 10

[rule]
name = "phyll"
theta = 5

[training]
epochs = 3
batch_size = "all"
"""


def load(folder: Path, text: str | bytes, *overrides: str) -> Experiment:
    path = folder / "experiment.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_experiment(path, overrides=overrides, entries=_entries, encoders=ENCODERS)


def refusal(folder: Path, text: str | bytes, *overrides: str) -> list[str]:
    """Lines of the message, each without the folder."""
    with pytest.raises(ExperimentError) as raised:
        load(folder, text, *overrides)
    return str(raised.value).replace(f"{folder}/", "").split("\n")


def test_a_good_file_is_read_with_its_defaults(tmp_path: Path) -> None:
    experiment = load(tmp_path, GOOD)
    assert experiment.base == tmp_path
    assert experiment.source.endswith("experiment.toml")
    assert [layer.width for layer in experiment.layers] == [50, 10]
    assert experiment.systems["cavity"].options == {"responses": 100, "camera": "modulus"}
    assert experiment.systems["cavity"].impairments == {"noise": 0.02, "full_scale": "auto"}
    assert experiment.layers[0].encoder_options == {"bits": 2}
    assert experiment.rule.options == {"theta": 5, "low": 0.0}
    assert experiment.training.batch_size == "all"


@pytest.mark.parametrize("override", ["title=x", "layers.*.skip=true", 'data={name="table",path="a.csv",label="y"}'])
def test_an_experiment_survives_the_way_through_json(tmp_path: Path, override: str) -> None:
    experiment = load(tmp_path, GOOD, override)
    again = Experiment.from_dict(json.loads(json.dumps(experiment.as_dict())))
    assert again == experiment
    assert Experiment.from_dict(experiment.as_dict(), base=Path("/elsewhere")).base == Path("/elsewhere")


def test_a_recorded_configuration_that_was_changed_is_told(tmp_path: Path) -> None:
    values = load(tmp_path, GOOD).as_dict()
    values["training"] = {"epochs": 0, "batch_size": "all", "epcohs": 1}
    with pytest.raises(ExperimentError, match=r"training\.epochs must be >= 1, got 0\.(.|\n)*Did you mean 'epochs'"):
        Experiment.from_dict(values)


# one mistake each: what to replace in GOOD, by what, and what the message must say
MISTAKES = {
    "unknown key": (
        "width = 50",
        "widht = 50\nwidth = 50",
        15,
        "layers[0].widht is not a known key. Did you mean 'width'?",
    ),
    "unknown section": (
        "[training]",
        "[trainings]\n[training]",
        26,
        "trainings is not a known key. Did you mean 'training'?",
    ),
    "wrong type": ("width = 10", 'width = "10"', 20, "layers[1].width must be a whole number, got '10'."),
    "true is no number": ("epochs = 3", "epochs = true", 27, "training.epochs must be a whole number, got true."),
    "not whole": ("epochs = 3", "epochs = 3.0", 27, "training.epochs must be a whole number, got 3.0."),
    "out of range": ("epochs = 3", "epochs = 0", 27, "training.epochs must be >= 1, got 0."),
    "nan": ("theta = 5", "theta = nan", 24, "rule.theta must be a finite number, got NaN."),
    "a date": ("epochs = 3", "epochs = 2020-01-01", 27, "training.epochs must be a whole number, got '2020-01-01'."),
    "missing key": ("epochs = 3\n", "", 26, "training.epochs is missing"),
    "choice": ('name = "digits"', 'name = "digit"', 4, "'vowels' or 'table', got 'digit'. Did you mean 'digits'?"),
    "union": (
        '"all"',
        '"al"',
        28,
        "training.batch_size must be a whole number or 'all', got 'al'. Did you mean 'all'?",
    ),
    "unknown type": ('"scattering"', '"scatering"', 7, "systems.cavity.type: 'scatering' is not a known system. Did"),
    "unknown rule": ('"phyll"', '"phyl"', 23, "rule.name: 'phyl' is not a known rule. Did you mean 'phyll'?"),
    "unknown encoder": ('"levels"', '"level"', 16, "a known encoder, got 'level'. Did you mean 'levels'?"),
    "system option": ("responses = 100", "responses = 0", 8, "systems.cavity.responses must be >= 1, got 0."),
    "unknown option": (
        "responses = 100",
        "responses = 1\ncamra = 1",
        9,
        "systems.cavity.camra is not a known key. Did you mean 'camera'? Valid keys: type, impairments, drives",
    ),
    "missing option": ("responses = 100\n", "", 6, "systems.cavity.responses is missing"),
    "inline table": (
        "responses = 100",
        "responses = 1\nturn = { rat = 1.0 }",
        9,
        "systems.cavity.turn.rat is not a known key. Did you mean 'rate'? Valid keys: profile, rate.",
    ),
    "an option's own words": (
        "responses = 100",
        'responses = 1\nturn = { profile = "sine", rate = 1.0 }',
        9,
        "systems.cavity.turn: a sine drift must have no rate.",
    ),
    "impairment": ("noise = 0.02", "noise = -1", 11, "systems.cavity.impairments.noise must be >= 0, got -1."),
    "filled impairment": ("noise = 0.02", "seed = 1", 11, "systems.cavity.impairments.seed is not a known key."),
    "impairment union": ("noise = 0.02", "full_scale = 0", 11, "full_scale must be > 0 or 'auto', got 0."),
    "dotted key": ("noise = 0.02", "gain_drift.rate = 'x'", 11, "gain_drift.rate must be a number, got 'x'."),
    "encoder option": (
        'encoder = "levels"',
        'encoder = "levels"\nencoder_options.bits = 0',
        17,
        "layers[0].encoder_options.bits must be >= 1, got 0.",
    ),
    "options of auto": ("width = 10", "width = 10\nencoder_options = { bits = 2 }", 21, "needs an encoder by name"),
    "rule option": ("theta = 5", "theta = -5", 24, "rule.theta must be > 0, got -5."),
    "rule options together": ("theta = 5", "low = 9", 22, "rule: low must be below theta."),
    "before a multi-line array": (
        'title = "two layers"',
        'title = [\n  "]", # ]\n  "[x]",\n]\nsed = 1',
        1,
        "title must be text in quotes, got [",
    ),
    "unused system": (
        "[rule]",
        '[systems.spare]\ntype = "scattering"\nresponses = 1\n[rule]',
        22,
        "systems.spare is used by no layer.",
    ),
    "layer names no system": (
        'system = "cavity"\nwidth = 10',
        'system = "cavty"\nwidth = 10',
        19,
        "layers[1].system must name a section of systems, got 'cavty'. Did you mean 'cavity'? Sections: cavity.",
    ),
    "no layers": ("[[layers]]", "[[layer]]", 13, "layer is not a known key. Did you mean 'layers'?"),
    "width before nothing": ("width = 10", "width = 10\nbefore_width = 3", 21, "has no effect while before is 'none'"),
    "table keys": ('"digits"', '"digits"\npath = "a.csv"', 5, "data.path is for data.name = 'table' only"),
    "table without path": ('"digits"', '"table"', 3, "data.path is missing"),
    "table without label": ('"digits"', '"table"\npath = "a.csv"', 3, "data.label is missing"),
    "groups of rows": (
        '"digits"',
        '"digits"\nsplit = "group"',
        5,
        "data.split must be 'row' for 'digits', got 'group'",
    ),
    "table without groups": (
        '"digits"',
        '"table"\npath = "a.npz"\nsplit = "group"',
        3,
        "data.group is missing",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, name: str) -> None:
    old, new, line, words = MISTAKES[name]
    text = GOOD.replace(old, new, 1)
    found = [row for row in refusal(tmp_path, text) if words in row]
    assert [row.split(": ")[0] for row in found] == [f"experiment.toml:{line}"]


def test_one_mistake_gives_one_line(tmp_path: Path) -> None:
    for name in ("unknown key", "wrong type", "unknown type", "union", "impairment union", "layer names no system"):
        old, new, _, _ = MISTAKES[name]
        assert len(refusal(tmp_path, GOOD.replace(old, new, 1))) == 1, name


def test_patience_needs_validation_samples(tmp_path: Path) -> None:
    text = GOOD.replace("epochs = 3", "patience = 2\nepochs = 3")
    (row,) = refusal(tmp_path, text, "data.validation_fraction=0")
    assert row.startswith("experiment.toml:27: training.patience looks at validation samples")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_all_mistakes_come_at_once_in_the_order_of_the_file(tmp_path: Path, newline: str) -> None:
    text = GOOD.replace("epochs = 3", "epochs = 0").replace("width = 50", "wdth = 50").replace("theta = 5", "thta = 5")
    rows = refusal(tmp_path, text.replace("\n", newline))
    assert [row.split(": ")[0] for row in rows] == [f"experiment.toml:{line}" for line in (13, 15, 24, 27)]


def test_a_whole_section_that_is_missing_has_no_line(tmp_path: Path) -> None:
    assert refusal(tmp_path, GOOD.partition("[training]")[0])[0].startswith("experiment.toml: training is missing")


def test_a_system_may_live_in_a_file_beside_the_experiment(tmp_path: Path) -> None:
    (tmp_path / "bench.py").write_text(
        "def bench(*, drives: int, gain: float = 2.0): ...\n"
        "class System:\n"
        "    spec = None\n"
        "    def measure(self, drive, passes): ...\n"
        "    def __enter__(self): ...\n"
        "    def __exit__(self, *error): ...\n"
        "ready = System()\n"
    )
    text = GOOD.replace('"scattering"\nresponses = 100', '"bench.py:bench"')
    assert load(tmp_path, text).systems["cavity"].options == {"gain": 2.0}
    assert "gain must be a number" in refusal(tmp_path, text, "systems.cavity.gain=high")[0]
    ready = text.replace("bench.py:bench", "bench.py:ready")
    assert load(tmp_path, ready).systems["cavity"].options == {}
    assert "a system already made" in refusal(tmp_path, ready, "systems.cavity.gain=3")[0]
    (row,) = refusal(tmp_path, text.replace("bench.py:bench", "bench.py:bnch"))
    assert row.startswith("experiment.toml:7: systems.cavity.type: ")
    assert "Did you mean 'bench'?" in row


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("seed=3", ("seed",), 3),
        ("title=hello world", ("title",), "hello world"),
        ("title=", ("title",), ""),
        ('title="a=b"', ("title",), "a=b"),
        ("layers.0.width=7", ("layers", 0, "width"), 7),
        ("layers.*.skip=true", ("layers", 1, "skip"), True),
        ("systems.*.responses=9", ("systems", "cavity", "responses"), 9),
        ("systems.cavity.turn.rate=1e-3", ("systems", "cavity", "turn", "rate"), 1e-3),
        ('systems."cavity".responses=9', ("systems", "cavity", "responses"), 9),
        ("output.folder=C:\\runs", ("output", "folder"), "C:\\runs"),
        ("network.label_amplitude=auto", ("network", "label_amplitude"), "auto"),
        ('rule={name="other", rate=2.5}', ("rule", "rate"), 2.5),
        ("title=1\nseed=4", ("title",), "1\nseed=4"),
    ],
)
def test_an_override_replaces_a_value(tmp_path: Path, override: str, path: tuple[str | int, ...], value: Any) -> None:
    found: Any = load(tmp_path, GOOD, override).as_dict()
    for key in path:
        found = found[key]
    assert found == value


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("seed", "must be of the form section.key=value."),
        ("=3", "must be of the form section.key=value."),
        ("a..b=3", "must be of the form section.key=value."),
        ("seed=-1", "seed must be >= 0, got -1."),
        ("seed=x", "seed must be a whole number, got 'x'."),
        ("title.x=1", "leads into title, which is a single value."),
        ("layers.2.width=1", "selects entry 2 of layers, which has 2 entries, counted from 0."),
        ("layers.x.width=1", "must select an entry of layers by its number or '*', got 'x'."),
        ("layers.1.wdth=1", "layers[1].wdth is not a known key. Did you mean 'width'?"),
        ("trainig.epochs=1", "trainig is not a known key. Did you mean 'training'?"),
        ("training=3", "training must be a table, got 3."),
        ("rule={name='phyll', theta=-1}", "rule.theta must be > 0, got -1."),
        ("systems.cavity.impairments.noise.*=1", "leads into systems.cavity.impairments.noise, which is a single"),
    ],
)
def test_an_override_that_is_wrong_is_told_as_such(tmp_path: Path, override: str, words: str) -> None:
    (row,) = refusal(tmp_path, GOOD, override)
    assert row.startswith(f"--set {override}: {words}")


def test_an_override_that_is_not_text_is_told_without_a_crash(tmp_path: Path) -> None:
    # how Python hands over a byte of the command line that is not UTF-8
    (row,) = refusal(tmp_path, GOOD, "title=\udcff")
    assert row == "--set title=\\udcff: must be text in the encoding of this terminal."


def test_the_mistakes_of_a_file_and_of_overrides_come_together(tmp_path: Path) -> None:
    rows = refusal(tmp_path, GOOD.replace("epochs = 3", "epochs = 0"), "seed=x", "layers.9.skip=true")
    assert [row.split(": ")[0] for row in rows] == ["experiment.toml:27", "--set seed=x", "--set layers.9.skip=true"]


def test_options_left_behind_by_an_override_have_a_way_out(tmp_path: Path) -> None:
    (row,) = refusal(tmp_path, GOOD, "rule.name=other")
    assert row.startswith("experiment.toml:24: rule.theta is not a known key.")
    assert "--set 'rule={name=...}' replaces all of it." in row


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed = 1\n[data\n", "experiment.toml:2: is not TOML: "),
        ("seed = 1\nseed = 2\n", "experiment.toml:2: is not TOML: Cannot overwrite a value"),
        ("list = [1,\n2,\n", "experiment.toml:2: is not TOML: "),
        ("x = " + "[" * 5000, "experiment.toml"),
        ("x = " + "9" * 5000, "experiment.toml"),
        (b"\x00\x01\x02", "experiment.toml must be a text file in TOML, and it is binary."),
        (b"a = 1\nb = '\xe9'\n", "experiment.toml:2: must be encoded in UTF-8, got byte 0xe9."),
        ("a = 1".encode("utf-16"), "experiment.toml must be encoded in UTF-8, and it is in UTF-16."),
        (b" " * (1 << 20) + b" ", "experiment.toml must be an experiment file, and it is larger than 1 MiB."),
    ],
)
def test_what_is_not_toml_is_told(tmp_path: Path, text: str | bytes, words: str) -> None:
    (row,) = refusal(tmp_path, text)
    assert row.startswith(words)


def test_a_byte_order_mark_is_accepted_and_moves_no_line(tmp_path: Path) -> None:
    assert load(tmp_path, b"\xef\xbb\xbf" + GOOD.encode()).title == "two layers"
    assert refusal(tmp_path, b"\xef\xbb\xbfseed = -1\n" + GOOD.encode())[0].startswith("experiment.toml:1: seed")


def test_an_empty_file_lists_what_must_be_there(tmp_path: Path) -> None:
    rows = refusal(tmp_path, "")
    assert [row.split()[1] for row in rows] == ["data", "systems", "layers", "rule", "training"]


def test_a_folder_and_a_missing_file_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_module, "shipped", lambda: ("digits-scattering", "vowels-cavity"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text("")
    with pytest.raises(ExperimentError, match="it is a folder"):
        load_experiment(tmp_path)
    with pytest.raises(ExperimentError, match=r"Did you mean 'vowels-cavity'\? Shipped experiments: digits-scattering"):
        load_experiment("vowel-cavity")
    with pytest.raises(ExperimentError, match=r"Did you mean 'mine\.toml'\?"):
        load_experiment("mine")
    with pytest.raises(ExperimentError, match="can't be read"):
        load_experiment("a\0b")


def test_a_shipped_experiment_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "digits-acoustic.toml").write_text(GOOD)
    monkeypatch.setattr(load_module, "_shipped", lambda: {"digits-acoustic": tmp_path / "digits-acoustic.toml"})
    for source in (None, "digits-acoustic"):
        experiment = load_experiment(source, entries=_entries, encoders=ENCODERS)
        assert (experiment.source, experiment.base) == ("digits-acoustic.toml", Path.cwd())


@pytest.mark.parametrize("name", load_module.shipped())
def test_every_shipped_experiment_is_valid(name: str) -> None:
    load_experiment(name)
