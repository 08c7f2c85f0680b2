from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import signal
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import physnet
from physnet import errors
from physnet.errors import FaultError, InputError, MeasurementError, PhysnetError, Stopped


def drawn_tree() -> dict[str, str | None]:
    """The tree in the docstring of `errors`: parent of each class, by name."""
    drawing = inspect.cleandoc(errors.__doc__ or "").split("::\n")[1].split("\nForeign")[0]
    parents: dict[str, str | None] = {}
    path: list[str] = []
    for line in drawing.strip("\n").splitlines():
        found = re.match(r"^ {4}([|` -]*)([A-Z]\w+)", line)
        assert found, line
        depth = len(found[1]) // 4
        parents[found[2]] = path[depth - 1] if depth else None
        path[depth:] = [found[2]]
    return parents


def classes() -> dict[str, type[BaseException]]:
    return {
        name: kind
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, BaseException) and kind.__module__ == errors.__name__
    }


def test_the_tree_that_is_drawn_is_the_tree_that_is_there() -> None:
    actual = {
        name: next((base.__name__ for base in kind.__bases__ if issubclass(base, PhysnetError)), None)
        for name, kind in classes().items()
    }
    assert drawn_tree() == actual


def test_the_exit_codes_that_are_drawn_are_the_ones_that_are_used() -> None:
    assert errors.__doc__ is not None
    for name, code in re.findall(r"(\w+) .*\(exit code (\d+)\)", errors.__doc__):
        assert getattr(errors, name).exit_code == int(code), name
    assert "(exit code 130, 143)" in errors.__doc__
    assert [Stopped(number).exit_code for number in (signal.SIGINT, signal.SIGTERM)] == [130, 143]
    for kind in classes().values():
        if issubclass(kind, InputError | FaultError):
            assert kind.exit_code == (2 if issubclass(kind, InputError) else 3)
    assert PhysnetError.exit_code == 1


def test_bad_input_is_a_value_error_too() -> None:
    assert issubclass(InputError, ValueError)


def test_a_measurement_error_carries_what_was_measured() -> None:
    reading = physnet.Reading(response=np.zeros((2, 1)))
    assert MeasurementError("x", reading=reading).reading is reading
    assert MeasurementError("x").reading is None


def test_every_error_is_part_of_the_public_surface() -> None:
    assert set(classes()) <= set(physnet.__all__)


def test_every_public_name_exists_once_and_in_order() -> None:
    assert len(set(physnet.__all__)) == len(physnet.__all__)
    assert physnet.__all__ == sorted(physnet.__all__)
    for name in physnet.__all__:
        assert getattr(physnet, name) is not None


def test_static_tools_see_the_same_names_as_python() -> None:
    # Names are imported on first use; the imports below TYPE_CHECKING are what editors and mypy go by.
    tree = ast.parse(inspect.getsource(physnet))
    relative = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
    assert {alias.name for node in relative for alias in node.names} == set(physnet.__all__)
    with pytest.raises(AttributeError):
        _ = physnet.no_such_name


def modules() -> Iterator[str]:
    for found in pkgutil.walk_packages(physnet.__path__, "physnet."):
        # `python -m physnet` runs at import, and so does nothing else.
        if found.name != "physnet.__main__":
            yield found.name


@pytest.mark.parametrize("name", list(modules()))
def test_every_module_imports_and_its_public_names_exist(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, "a module says what it is"
    for public in getattr(module, "__all__", ()):
        assert hasattr(module, public), public


def layer(**options: Any) -> physnet.PhysicalLayer:
    from physnet.encoders import Absolute

    system = physnet.system(lambda drive: drive, drives=2, responses=2)
    given: dict[str, Any] = {"port": physnet.Port(system), "inputs": 2, "width": 2, "encoder": Absolute(), "seed": 0}
    return physnet.PhysicalLayer(**{**given, **options})


NUMBER: Any = 3


def measured(drive: Any) -> Any:
    return physnet.Port(physnet.system(lambda rows: rows, drives=2, responses=2)).measure(drive, np.arange(len(drive)))


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: physnet.DriveSpec(shape=(2,), dtype="volts"),
        lambda: physnet.DriveSpec(shape=(2,), high=float("nan")),
        lambda: physnet.ResponseSpec(shape=()),
        lambda: physnet.Reading(response=np.array(1.0)),
        lambda: physnet.system(function=NUMBER, drives=1, responses=1),
        lambda: physnet.LabelSlots(classes=2, amplitude=0),
        lambda: physnet.Network([], features=2),
        lambda: physnet.Network([layer()], features=3),
        lambda: layer(inputs=5),
        lambda: measured(np.full((1, 2), np.nan)),
        lambda: measured(np.zeros((1, 5))),
        lambda: measured(np.zeros((1, 2), np.complex128)),
        lambda: measured(np.zeros((0, 2))),
        lambda: physnet.load_experiment("no such file.toml"),
        lambda: physnet.open_run("no such folder"),
    ],
)
def test_a_mistake_of_the_user_raises_one_of_ours(mistake: Callable[[], object]) -> None:
    with pytest.raises(InputError):
        mistake()
