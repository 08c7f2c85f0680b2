from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from physnet.experiment import load_experiment
from physnet.report.toml import as_toml

PLAIN = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)
KEYS = st.text(st.characters(exclude_categories=["Cs"]))
TABLES = st.recursive(
    st.dictionaries(KEYS, st.one_of(PLAIN, st.lists(PLAIN, max_size=3)), max_size=4),
    lambda inner: st.dictionaries(KEYS, st.one_of(PLAIN, inner, st.lists(inner, min_size=1, max_size=2)), max_size=3),
    max_leaves=8,
)


@given(values=TABLES)
def test_what_is_written_is_read_back(values: dict[str, Any]) -> None:
    assert tomllib.loads(as_toml(values)) == values


def test_a_whole_experiment_is_written_as_its_file_has_it() -> None:
    configuration = load_experiment("digits-scattering").as_dict()
    text = as_toml(configuration)
    assert "[[layers]]" in text and "[systems.lower.impairments]" in text
    assert "# train_limit is not set" in text
    assert tomllib.loads(text)["rule"] == configuration["rule"]
