"""Every case of the validation holds, and the pages of `docs/validation` tell of all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib
import pytest
import torch
from matplotlib.figure import Figure

from benchmarks.validation_cases import MEDIA
from benchmarks.validation_cases.outcome import Case, NotHereError, title

PAGES = Path(__file__).parents[2] / "docs" / "validation"
CASES = [pytest.param(case, id=f"{medium.page}-{case.__name__}") for medium in MEDIA for case in medium.cases]


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


def test_the_pages_tell_of_every_case_and_check_and_of_no_other() -> None:
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    assert "FAILS" not in index
    for medium in MEDIA:
        page = (PAGES / f"{medium.page}.md").read_text(encoding="utf-8")
        assert f"({medium.page}.md)" in index
        titles = [line.removeprefix("## ") for line in page.splitlines() if line.startswith("## ")]
        assert titles == [title(case).capitalize() for case in medium.cases]
    pages = {path.name for path in PAGES.glob("*.md")}
    assert pages == {"README.md"} | {f"{medium.page}.md" for medium in MEDIA}


def test_the_figures_are_small_and_all_of_them_shown() -> None:
    figures = list(PAGES.glob("*.png"))
    text = "".join(path.read_text(encoding="utf-8") for path in PAGES.glob("*.md"))
    for figure in figures:
        assert f"({figure.name})" in text
        assert figure.stat().st_size < 60_000
    assert sum(figure.stat().st_size for figure in figures) < 1_200_000
    assert matplotlib.get_backend()
