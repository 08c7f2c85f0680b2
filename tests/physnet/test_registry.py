from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError

from physnet import registry
from physnet.errors import ExperimentError


@dataclass(frozen=True)
class FakeEntry:
    name: str
    value: str
    load: Callable[[], Any]


@dataclass(frozen=True, kw_only=True)
class Turn:
    rate: float
    period: Annotated[float, Field(gt=0)] = 1.0


class Cavity:
    """A cavity for tests.

    More about it.
    """

    def __init__(
        self,
        *,
        drives: Annotated[int, Field(ge=1)],
        mode: Literal["modulus", "intensity"] = "modulus",
        shape: tuple[int, int] = (2, 3),
        turn: Turn | None = None,
        copy: float | Literal["auto"] = "auto",
        seed: int = 0,
    ) -> None:
        self.given = (drives, mode, shape, turn, copy, seed)


def broken() -> Any:
    raise ImportError("no module named vendor")


def entries(group: str) -> list[FakeEntry]:
    if group != "physnet.systems":
        return []
    return [
        FakeEntry("scattering", "fake.scattering:Scattering", lambda: Cavity),
        FakeEntry("cavity", "fake.cavity:Cavity", lambda: Cavity),
        FakeEntry("broken", "vendor_package.bench:Bench", broken),
        FakeEntry("number", "fake.number:N", lambda: 3),
        FakeEntry("twice", "one:A", lambda: Cavity),
        FakeEntry("twice", "two:B", lambda: Cavity),
    ]


def test_names_are_listed_without_importing_anything() -> None:
    assert registry.names("systems", entries=entries) == ("broken", "cavity", "number", "scattering", "twice")
    assert registry.names("rules", entries=entries) == ()


def test_a_registered_name_is_found() -> None:
    assert registry.find("systems", "cavity", entries=entries) is Cavity


def test_the_entry_points_of_this_package_are_found() -> None:
    assert set(registry.names("rules")) >= {"phyll", "mono_forward"}


def test_an_unknown_name_lists_the_valid_ones_and_the_nearest() -> None:
    with pytest.raises(ExperimentError, match=r"Did you mean 'scattering'\? Valid names: broken, cavity"):
        registry.find("systems", "scatering", entries=entries)


def test_a_package_that_fails_to_import_is_named() -> None:
    with pytest.raises(ExperimentError, match=r"package vendor_package.*ImportError: no module named vendor") as raised:
        registry.find("systems", "broken", entries=entries)
    assert isinstance(raised.value.__cause__, ImportError)


def test_a_name_registered_twice_is_not_guessed() -> None:
    with pytest.raises(ExperimentError, match="one:A and two:B"):
        registry.find("systems", "twice", entries=entries)


def test_what_is_registered_must_make_something() -> None:
    with pytest.raises(ExperimentError, match="must be a class or a function, got int"):
        registry.find("systems", "number", entries=entries)


BENCH = """
import dataclasses

@dataclasses.dataclass
class Bench:
    "A bench."
    drives: int = 3

marker = object()
number = 4
"""


def test_a_file_is_loaded_relative_to_the_base_folder_and_run_once(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "bench.py").write_text(BENCH)
    first = registry.find("systems", "sub/bench.py:Bench", base=tmp_path)
    second = registry.find("systems", "sub/bench.py:Bench", base=tmp_path)
    assert first is second
    assert first().drives == 3


def test_an_edited_file_is_loaded_again(tmp_path: Path) -> None:
    path = tmp_path / "bench.py"
    path.write_text(BENCH)
    registry.load_file("bench.py:Bench", base=tmp_path)
    path.write_text(BENCH.replace("int = 3", "int = 4000"))
    assert registry.load_file("bench.py:Bench", base=tmp_path)().drives == 4000


def test_two_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "bench.py").write_text(f"def make():\n    return {folder!r}\n")
    made = [registry.load_file(f"{folder}/bench.py:make", base=tmp_path)() for folder in ("a", "b")]
    assert made == ["a", "b"]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nowhere.py:Bench", "there is none at"),
        ("bench.py:Bnch", "Did you mean 'Bench'"),
        ("bench.py", "must be given as 'path/to/bench.py:name'"),
        ("bench.py:", "must be given as 'path/to/bench.py:name'"),
        ("bench.py:number", "must be a system, or a class or function that makes one, got int"),
        ("exits.py:Bench", "can't be run: SystemExit: 3"),
        ("wrong.py:Bench", "can't be run: SyntaxError"),
    ],
)
def test_what_is_missing_in_a_file_is_told(tmp_path: Path, reference: str, message: str) -> None:
    (tmp_path / "bench.py").write_text(BENCH)
    (tmp_path / "exits.py").write_text("raise SystemExit(3)")
    (tmp_path / "wrong.py").write_text("def f(:")
    with pytest.raises(ExperimentError, match=message.replace("(", r"\(")):
        registry.find("systems", reference, base=tmp_path)


def test_a_class_is_not_a_ready_system_and_an_object_is(tmp_path: Path) -> None:
    class Ready:
        spec = None

        def measure(self, drive: Any, passes: Any) -> None: ...

        def __enter__(self) -> None: ...

        def __exit__(self, *error: object) -> None: ...

    assert not registry.is_ready(Ready)
    assert registry.is_ready(Ready())


def test_options_become_typed_arguments() -> None:
    model = registry.options_model(Cavity)
    given = registry.arguments(model, {"drives": 4, "shape": [5, 6], "turn": {"rate": 2}, "copy": 1.5})
    assert given == {"drives": 4, "shape": (5, 6), "turn": Turn(rate=2.0), "copy": 1.5}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"drives": 0},
        {"drives": "4"},
        {"drives": True},
        {"drives": 4, "mode": "moduls"},
        {"drives": 4, "shape": [1, 2, 3]},
        {"drives": 4, "turn": {"rate": 1, "prd": 2}},
        {"drives": 4, "copy": float("nan")},
        {"drives": 4, "drive": 4},
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        registry.arguments(registry.options_model(Cavity), options)


def test_excluded_options_are_unknown_and_optional_ones_may_be_left_out() -> None:
    model = registry.options_model(Cavity, exclude={"seed"}, optional={"drives"})
    assert registry.arguments(model, {}) == {}
    with pytest.raises(ValidationError):
        registry.arguments(model, {"seed": 3})
    with pytest.raises(ValidationError):
        registry.arguments(model, {"drives": 0})


def test_defaults_are_recorded_as_plain_values() -> None:
    model = registry.options_model(Cavity)
    found = registry.defaults(model, {"drives": 4, "mode": "intensity"}, skip={"seed"})
    assert found == {"shape": [2, 3], "copy": "auto"}


def test_functions_partials_and_open_factories_have_options_too() -> None:
    def bench(gain: float, /, port: int = 3, **options: Any) -> None: ...

    model = registry.options_model(functools.partial(bench, 2.0))
    assert registry.arguments(model, {"port": 4, "anything": "goes"}) == {"port": 4, "anything": "goes"}
    with pytest.raises(ExperimentError, match="'gain' can't be given by name"):
        registry.options_model(bench)


def test_an_annotation_that_cannot_be_resolved_is_told() -> None:
    def bench(*, port: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(ExperimentError, match="options of bench can't be read"):
        registry.options_model(bench)


def test_the_summary_is_the_first_line_of_the_docstring() -> None:
    assert registry.summary(Cavity) == "A cavity for tests."
    assert registry.summary(lambda: None) == ""
