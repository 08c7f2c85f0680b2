"""The wheel holds what the checkout holds, works where nothing else is installed of physnet, and carries no tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {"physnet": "physnet", "drivers": "physnet.drivers", "simulators": "physnet.simulators"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from an sdist's worth of files, without network: setuptools comes with the `dev` extra."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (built,) = folder.glob("*.whl")
    return built


def declared() -> list[str]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        packages: list[str] = tomllib.load(file)["tool"]["setuptools"]["packages"]
    return packages


def modules() -> set[str]:
    """Every Python file of the product, as its path inside the wheel."""
    found = set()
    for folder, package in FOLDERS.items():
        for file in (ROOT / folder).rglob("*.py"):
            inside = file.relative_to(ROOT / folder)
            linked = folder == "physnet" and inside.parts[0] in ("drivers", "simulators", "experiments")
            if not linked and "__pycache__" not in inside.parts:
                found.add("/".join([*package.split("."), *inside.parts]))
    return found


def test_every_package_of_the_tree_is_declared() -> None:
    in_tree = {str(Path(module).parent).replace(os.sep, ".") for module in modules()} | {"physnet.experiments"}
    assert sorted(declared()) == sorted(in_tree)


def test_the_wheel_holds_every_module_and_experiment_once_and_no_test(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert len(names) == len(set(names))
    assert {name for name in names if name.endswith(".py")} == modules()
    experiments = {f"physnet/experiments/{file.name}" for file in (ROOT / "experiments").glob("*.toml")}
    assert experiments and experiments <= set(names)
    assert "physnet/py.typed" in names
    firmware = {f"physnet/drivers/boards/firmware/{file.name}" for file in (ROOT / "drivers/boards/firmware").iterdir()}
    assert firmware and firmware <= set(names)


def test_the_installed_wheel_trains_the_default_experiment(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "installed"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(target),
        str(wheel),
    ]
    subprocess.run(pip, check=True, capture_output=True)
    # `-S` leaves out every .pth file, and with them the development install of physnet.
    paths = os.pathsep.join([str(target), sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"]])
    words = "train --json --set training.epochs=1 --set data.train_limit=200 --set data.test_limit=50 --output runs"
    done = subprocess.run(
        [sys.executable, "-S", "-m", "physnet", *words.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["physical_passes"] > 0
    assert (tmp_path / result["session"] / "session.h5").is_file()
    where = subprocess.run(
        [sys.executable, "-S", "-c", "import physnet.simulators; print(physnet.simulators.__file__)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(target)


@pytest.mark.parametrize("folder", ["drivers", "simulators"])
def test_a_folder_is_not_imported_under_a_second_name(folder: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {folder}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"import physnet.{folder}" in done.stderr
