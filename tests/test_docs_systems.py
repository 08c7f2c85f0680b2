"""The description of the systems names every simulated one, with its facts as they are and its defaults as they are."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

from physnet import registry
from physnet.simulators.detector_noise import Flicker
from physnet.simulators.drift import Drift
from physnet.simulators.impairments import Impaired
from physnet.simulators.scattering import ScatteringMedium

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "systems.md").read_text(encoding="utf-8")
SYSTEMS = sorted(
    entry.name for entry in registry.installed("physnet.systems") if entry.value.startswith("physnet.simulators.")
)
SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", TEXT, flags=re.DOTALL | re.MULTILINE))
DEFAULT = re.compile(r"`(\w+)\s=\s([^`]+)`")


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_systems", ROOT / "benchmarks" / "systems.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_simulated_system_is_described(name: str) -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith(f"| [`{name}`](#{name})")]
    assert len(rows) == 2  # physics and source; facts
    for word in ("**Nonlinearity**", "**Worth knowing**"):
        assert word in SECTIONS[name], word


def test_nothing_is_described_that_is_not_there() -> None:
    assert sorted(SECTIONS) == SYSTEMS


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_defaults_that_are_told_are_those_of_the_code(name: str) -> None:
    parameters = inspect.signature(registry.find("systems", name)).parameters
    told = DEFAULT.findall(SECTIONS[name])
    assert len(told) >= 2
    for key, value in told:
        assert ast.literal_eval(value) == parameters[key].default, key
    # Whatever else looks like an option of the system is one.
    for key in re.findall(r"`([a-z]+_[a-z_]+)`", SECTIONS[name]):
        assert key in parameters or key == "from_matrix", key


def test_the_impairments_that_are_told_do_what_is_said_of_them() -> None:
    text = TEXT.partition("What a bench adds")[2].partition("\n\n")[0]
    still, moving = (re.findall(r"`([a-z_]+)`", part) for part in re.split("leave a system", text))
    assert len(still) >= 8 and len(moving) >= 5
    examples: dict[str, object] = {
        "dac_bits": 8, "adc_bits": 8, "full_scale": 1.0, "flicker": Flicker(rms=0.1, lowest=1.0),
        "gain_drift": Drift(rate=0.1), "rotation_drift": Drift(rate=0.1), "photoelectrons": 100.0,
    }  # fmt: skip
    for name in (*still, *moving):
        needed = {"full_scale": 1.0} if name in ("adc_bits", "stuck") else {}
        one = Impaired(ScatteringMedium(drives=4, responses=6), **{name: examples.get(name, 0.1), **needed})  # type: ignore[arg-type]
        assert (one.spec.reproducible, one.spec.stateful) == (name in still, name in moving), name


def test_the_table_of_facts_is_what_the_systems_say_of_themselves(benchmark: ModuleType) -> None:
    marker = benchmark.MARKERS["facts"]
    table = TEXT.partition(f"<!-- {marker} -->\n")[2].partition(f"\n<!-- end of {marker} -->")[0]
    assert table == "\n".join(benchmark.facts()), "python benchmarks/systems.py --facts --into docs/systems.md"


def test_what_was_measured_is_of_systems_and_rules_that_are_there(benchmark: ModuleType) -> None:
    marker = benchmark.MARKERS["measured"]
    table = TEXT.partition(f"<!-- {marker} -->\n")[2].partition(f"\n<!-- end of {marker} -->")[0]
    measured = re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)
    assert set(measured) <= {*SYSTEMS, *registry.names("rules")}
    assert set(benchmark.RULES) <= set(registry.names("rules"))
    assert re.match(r"20\d\d-\d\d-\d\d, Python ", table)
