"""Every case of the validation holds, and the pages of `docs/validation` tell of all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from benchmarks.validation_cases import MEDIA
from benchmarks.validation_cases.guards import GUARDS, Guard, message
from benchmarks.validation_cases.outcome import Case, NotHereError, heading

PAGES = Path(__file__).parents[2] / "docs" / "validation"
CASES = [
    pytest.param(
        case, id=f"{medium.page}-{case.__name__}",
        marks=[pytest.mark.gpu] if case.__name__.endswith("_on_a_gpu") else [],
    )
    for medium in MEDIA for case in medium.cases
]  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The tensors here are small: threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("case", CASES)
def test_a_case_holds(case: Case) -> None:
    try:
        found = case()
    except NotHereError as reason:
        pytest.skip(str(reason))
    assert found.checks
    for check in found.checks:
        assert check.holds, check
    if found.draw is not None:
        found.draw(Figure().subplots())
        assert found.caption


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: f"{guard.medium}: {guard.number}")
def test_a_solver_tells_of_coarse_or_wrong_numbers(guard: Guard) -> None:
    told = message(guard)
    assert re.search(guard.says, told), told


def test_the_pages_tell_of_every_case_and_check_and_of_no_other() -> None:
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    assert "FAILS" not in index
    for medium in MEDIA:
        page = (PAGES / f"{medium.page}.md").read_text(encoding="utf-8")
        assert f"({medium.page}.md)" in index
        titles = [line.removeprefix("## ") for line in page.splitlines() if line.startswith("## ")]
        assert titles == [heading(case) for case in medium.cases]
    watched = (PAGES / "numerics.md").read_text(encoding="utf-8")
    assert "silent" not in watched and all(f"| {guard.medium} | {guard.number} |" in watched for guard in GUARDS)
    pages = {path.name for path in PAGES.glob("*.md")}
    assert pages == {"README.md", "numerics.md"} | {f"{medium.page}.md" for medium in MEDIA}


def test_the_figures_are_small_and_all_of_them_shown() -> None:
    figures = list(PAGES.glob("*.png"))
    text = "".join(path.read_text(encoding="utf-8") for path in PAGES.glob("*.md"))
    for figure in figures:
        assert f"({figure.name})" in text
        assert figure.stat().st_size < 60_000
    assert sum(figure.stat().st_size for figure in figures) < 1_200_000
