"""The description of the rules names all that are registered, and says of each what a user must know."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from physnet import registry

TEXT = (Path(__file__).parents[1] / "docs" / "rules.md").read_text(encoding="utf-8")
SECTIONS = {
    name: body for name, body in re.findall(r"^### `(\w+)`\n(.*?)(?=^##)", TEXT, flags=re.DOTALL | re.MULTILINE)
}


@pytest.mark.parametrize("name", registry.names("rules"))
def test_every_registered_rule_is_described(name: str) -> None:
    assert name in SECTIONS
    for word in ("**Passes**", "**Needs**", "**Use it**", "**Source**"):
        assert word in SECTIONS[name], word
