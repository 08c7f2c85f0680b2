"""The driver that the guide shows is complete: its own test passes, and it holds to what our drivers hold to."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from physnet import registry
from physnet.drivers import roles
from physnet.drivers.instruments import command, exchange
from physnet.drivers.instruments.command import Choice, Number
from tests.drivers.instruments import test_all_instruments as conformance
from tests.drivers.instruments.examples import EXAMPLES, Example

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "add-an-instrument.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", TEXT, re.DOTALL))


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    for name, content in FILES.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("acme_wg1")
    for name in ("acme_wg1", "test_acme_wg1"):
        sys.modules.pop(name, None)


def test_every_test_of_the_guide_passes(acme: ModuleType) -> None:
    tests = importlib.import_module("test_acme_wg1")
    found = [value for name, value in vars(tests).items() if name.startswith("test_")]
    assert len(found) >= 5
    for test in found:
        test()


def test_the_driver_holds_to_what_all_of_ours_hold_to(acme: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    entry_points = tomllib.loads(FILES["pyproject.toml"])["project"]["entry-points"]["physnet.instruments"]
    ((name, value),) = entry_points.items()
    entry = EntryPoint(name=name, value=value, group="physnet.instruments")
    monkeypatch.setattr(conformance, "ENTRIES", {**conformance.ENTRIES, name: entry})
    monkeypatch.setattr(conformance, "EXAMPLES", {**EXAMPLES, name: Example(identity="ACME,WG1,42,1.0")})
    conformance.test_every_registered_instrument_has_an_example_and_none_is_missing()
    conformance.test_it_is_made_by_keywords_and_names_its_document(name)
    conformance.test_it_plays_one_part_and_says_what_it_can(name)
    conformance.test_opening_sends_nothing_but_the_handshake(name)
    conformance.test_it_takes_its_own_kind_simulated_or_not_and_no_other(name)
    conformance.test_making_it_safe_sends_the_safe_commands_in_order_and_makes_sure(name)
    settings = [command for command in vars(entry.load()).values() if isinstance(command, Number | Choice)]
    assert len(settings) == 4
    for setting in settings:
        conformance.test_a_setting_out_of_its_range_never_becomes_text(setting)
    model = registry.options_model(entry.load(), exclude={"resource", "transport", "check"})
    assert registry.arguments(model, {"timeout": 2.0}) == {"timeout": 2.0}  # keys of its table in a bench file


def test_what_the_guide_names_is_there() -> None:
    for name in ("Number", "Choice", "Action", "Question", "switch"):
        assert f"`{name}(" in TEXT and hasattr(command, name)
    assert callable(exchange.complete) and callable(exchange.ask_whole)
    for role in (roles.Source, roles.Detector, roles.Analyser):
        own = {key for key in vars(role) if not key.startswith("_")}
        row = next(line for line in TEXT.splitlines() if line.startswith(f"| `{role.__name__}`"))
        assert all(f"`{member}`" in row for member in own), (role, own)
    shared = {key for key in vars(roles.Instrument) if not key.startswith("_")} - {"resource"}
    row = next(line for line in TEXT.splitlines() if line.startswith("| all"))
    assert all(f"`{member}`" in row for member in shared)
    for path in re.findall(r"`((?:drivers|tests)/[\w/]+(?:\.py|/))`", TEXT):
        assert (ROOT / path).exists(), path
