from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from physnet.errors import SessionError
from physnet.report import compare, report, write
from physnet.session import Run, Session, open_run
from physnet.session.comparison import opened
from physnet.session.reader import Event

VOID = {"meta", "br"}
HOSTILE = "</title></style><script>alert(1)</script><img src=x onerror=alert(2)>\"' & \x00\x1b[31m \u202e"


class Page(HTMLParser):
    """A page as a browser's parser sees it; every element must be closed by itself."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.anchors: set[str] = set()
        self.open: list[str] = []
        self.words: list[str] = []
        self.sheet = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        self.anchors |= {value or "" for name, value in attrs if name == "id"}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.sheet += data
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"[ \n]+", " ", " ".join(self.words)).strip()  # thin spaces stay


def check(text: str) -> Page:
    """Check what holds for every page: sound, self-contained, nothing that runs, a policy that says so."""
    page = Page(text)
    assert not {"script", "iframe", "object", "embed", "img", "link", "form", "base"} & set(page.tags)
    for tag, name, value in page.attributes:
        assert not name.startswith("on") and name not in ("src", "srcset", "style"), (tag, name)
        if name == "href":
            assert value.startswith("#") and value[1:] in page.anchors
        if name == "aria-labelledby":
            assert value in page.anchors
    assert "url(" not in page.sheet and "@import" not in page.sheet
    policy = next(value for tag, name, value in page.attributes if tag == "meta" and "default-src" in value)
    digest = base64.b64encode(hashlib.sha256(page.sheet.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; ") and f"style-src 'sha256-{digest}'" in policy
    assert len(page.anchors) == sum(name == "id" for _, name, _ in page.attributes)
    assert "NaN" not in text and not re.search(r"\bnan\b", text) and not re.search(r"\binf\b", text)
    return page


def test_the_page_tells_the_numbers_of_the_run(finished: Run) -> None:
    page = check(report(finished))
    for expected in (
        "speckle in two layers",
        "80.00 %",
        "n = 20; 95 % interval of these samples 58.4 to 91.9 %",  # Wilson, 16 of 20
        "standardise 34, train 1\u202f000, validate 100, test 100",
        "1\u202f234",
        "70.00 % raw logistic regression",
        "detector warm",
        "cable lost",
        "30 in 600 passes of training",  # retries: 0 + 1 + 2, ten times
        "90 J in training",
        "2 (3.1 %)",  # clipped rows of 64
        "1 of 8",  # dead channels
        "4.00 %",  # drift at the end
        "rate = 0.01",
        "no response statistics of layer1",
        "The run was never resumed." if len(finished.attempts["attempt"]) else "Data and environment",
    ):
        assert expected in page.text, expected
    charts = [value for tag, name, value in page.attributes if (tag, name) == ("svg", "aria-label")]
    assert {"loss", "goodness gap", "validation accuracy", "seconds per step", "energy", "layer0: responses"} <= set(
        charts
    )
    assert page.tags.count("figcaption") == page.tags.count("figure")


def test_where_the_time_went_adds_up(finished: Run) -> None:
    text = check(report(finished)).text
    # 30 steps of 0.25 s measuring and 0.125 s digital, of 12.5 s in all
    assert "measuring (training) 7.5 s 60.0 % digital (training) 3.75 s 30.0 %" in text
    assert "everything else 1.25 s 10.0 %" in text


def test_a_simulated_result_says_so_before_any_number(finished: Run) -> None:
    mixed = check(report(finished)).text
    assert "SIMULATED in part: layer0 of 2 layers" in mixed
    systems = {name: {**spec, "kind": "simulated"} for name, spec in finished.systems.items()}
    text = check(report(dataclasses.replace(finished, systems=systems))).text
    assert text.index("SIMULATED. No instrument was measured") < text.index("80.00 %")
    assert "(simulated, done)" in text
    measured = {name: {**spec, "kind": "measured"} for name, spec in finished.systems.items()}
    assert "SIMULATED" not in check(report(dataclasses.replace(finished, systems=measured))).text


@pytest.mark.parametrize("kind", ["replay", "twin", "not stated"])
def test_what_was_not_measured_says_what_it_was(finished: Run, kind: str) -> None:
    systems = {name: {**spec, "kind": kind} for name, spec in finished.systems.items()}
    assert f"{kind.upper()}. The" in check(report(dataclasses.replace(finished, systems=systems))).text


def test_a_killed_run_has_a_page_that_says_what_is_missing(killed: Run) -> None:
    text = check(report(killed)).text
    assert "KILLED. no end was written" in text
    assert "no result, so no test accuracy" in text
    assert "not measured" in text
    assert "240 in the recorded steps" in text


def test_a_run_that_did_nothing_has_a_page(tmp_path: Path, small_run: ModuleType) -> None:
    Session.create(tmp_path / "run", small_run.plan()).close()
    text = check(report(open_run(tmp_path / "run"))).text
    assert "No step was recorded." in text
    assert "No response statistics were recorded." in text


def test_damaged_and_lost_rows_are_counted(finished: Run) -> None:
    attempts = {
        "attempt": np.array([1]),
        "step": np.array([20]),
        "time": np.array([1.7e9]),
        "version": np.array([b"0.1.0"]),
        "commit": np.array([b"abc"]),
        "platform": np.array([b"Linux"]),
        "changes": np.array(["µ".encode()]),
    }
    changed = dataclasses.replace(finished, damaged_rows=3, attempts=attempts, superseded_steps=4, superseded_passes=80)
    text = check(report(changed)).text
    assert "3 damaged rows were left out" in text
    assert "The run was resumed once. 4 steps (80 passes) were lost" in text
    assert "µ" in text


def test_a_session_of_an_older_schema_has_a_page(finished: Run) -> None:
    newer = ("digital_seconds", "log_seconds", "idle_seconds", "joules")
    steps = {name: values for name, values in finished.steps.items() if name not in newer}
    older = dataclasses.replace(finished, steps=steps, attempts={}, sentinels={})
    text = check(report(older)).text
    assert "which this session did not time on its own" in text
    assert "Attempts" not in text


def test_text_from_a_session_is_never_markup(finished: Run) -> None:
    systems = {HOSTILE: {**finished.systems["slab"], "kind": HOSTILE, "identity": {HOSTILE: [HOSTILE, {"a": HOSTILE}]}}}
    result = dataclasses.replace(finished.result, baselines={HOSTILE: 0.5}, message=HOSTILE)  # type: ignore[type-var]
    evil = dataclasses.replace(
        finished,
        title=HOSTILE,
        message=HOSTILE,
        status="fault",
        created=HOSTILE,
        version=HOSTILE,
        configuration={HOSTILE: {"x": HOSTILE, "y": [HOSTILE]}, "source": HOSTILE},
        environment={HOSTILE: HOSTILE},
        data={HOSTILE: HOSTILE},
        layers=(HOSTILE, "layer1"),
        layer_systems=(HOSTILE, HOSTILE),
        systems=systems,
        classes=(HOSTILE, "b", "c", "d"),
        metrics={HOSTILE: HOSTILE},
        steps={**finished.steps, HOSTILE: finished.steps["loss"]},
        events=(
            Event(time=float("inf"), level=HOSTILE, message=HOSTILE),
            Event(time=0.0, level="fault", message="\ud800"),
        ),
        responses=tuple(dataclasses.replace(one, unit=HOSTILE) for one in finished.responses),
        result=result,
    )
    text = report(evil)
    page = check(text)
    assert "<script>alert(1)</script>" in page.text
    assert not set(text) & {"\x00", "\x1b", "\u202e", "\ud800"}
    text = compare({Path(HOSTILE): evil, Path("/b"): SessionError(HOSTILE)})
    check(text)


def test_a_million_steps_make_a_small_page(long_run: Callable[[int], Run]) -> None:
    run = long_run(1_000_000)
    text = report(run)
    check(text)
    assert len(text) < 1_000_000
    assert "1\u202f000\u202f000 steps" in text


def test_many_layers_classes_and_events_make_a_small_page(finished: Run) -> None:
    layers, classes = 60, 150
    names = tuple(f"layer{n}" for n in range(layers))
    steps = {**finished.steps}
    for name in finished.metrics:
        steps[name] = np.tile(finished.steps[name][:, :1], (1, layers))
    epochs = {**finished.epochs, "layer_accuracy": np.full((3, layers), 0.5)}
    assert finished.result is not None
    result = dataclasses.replace(
        finished.result, confusion=np.full((classes, classes), 2), layer_accuracy=(0.5,) * layers
    )
    run = dataclasses.replace(
        finished,
        layers=names,
        layer_systems=("slab",) * layers,
        steps=steps,
        epochs=epochs,
        result=result,
        classes=tuple(f"class {n}" for n in range(classes)),
        responses=tuple(dataclasses.replace(finished.responses[0], layer=n) for n in range(layers)),
        events=tuple(Event(time=float(n), level="warning", message=f"event {n}.") for n in range(100_000)),
    )
    text = report(run)
    page = check(text)
    assert len(text) < 3_000_000
    assert "99800 more of level warning" in page.text
    assert "event 0." in page.text and "event 99999." in page.text and "event 50000." not in page.text


def test_several_runs_are_compared(finished: Run, killed: Run, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "session.h5").write_bytes(b"no HDF5")
    page = check(compare(opened([finished.folder, killed.folder, tmp_path])))
    for expected in ("80.00 %", "killed", "is not an HDF5 file", "the same experiment and seed", "58.4 to 91.9 %"):
        assert expected in page.text, expected


def test_a_page_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    assert write("text", tmp_path / "new" / "page.html").read_text() == "text"
    (tmp_path / "file").write_text("")
    with pytest.raises(SessionError, match="Choose another file"):
        write("text", tmp_path / "file" / "page.html")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SessionError, match="can't be written"):
        write("text", tmp_path / "folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "new"]
