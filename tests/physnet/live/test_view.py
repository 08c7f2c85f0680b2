"""What a person sees, on screens of several sizes."""

from __future__ import annotations

import io
import math
import time

import pytest
from rich.console import Console

from physnet.live.curves import chart, is_logarithmic, sparkline
from physnet.live.protocol import Curve, Event, Moment
from physnet.live.view import View, epoch_line, plain, seconds_text

LOSS = Curve(latest=0.123, points=tuple(math.exp(-step / 20) for step in range(150)))
ACCURACY = Curve(latest=0.972, points=tuple(0.98 - 0.5 * math.exp(-epoch) for epoch in range(12)))
RUN = Moment(
    title="Digits through two media",
    folder="/data/runs/digits-20260131-235959",
    seed=5,
    kinds=("simulated", "measured"),
    layers=("lower", "upper"),
    state="running",
    epoch=12,
    epochs=200,
    step=345,
    steps=5600,
    metrics={"loss": (LOSS, LOSS), "pair_accuracy": (ACCURACY, ACCURACY)},
    validation=ACCURACY,
    best=0.975,
    best_epoch=10,
    layer_validation=(0.93, 0.972),
    passes={"standardise": 1000, "train": 123456},
    physical_passes=124456,
    passes_per_second=8123.3,
    seconds=72,
    seconds_left=3800,
    retries=3,
    warnings=2,
    events=tuple(Event(time=time.time(), level="warning", message=f"event {number}") for number in range(20)),
)


def screen(view: View, width: int, height: int, *, encoding: str = "utf-8") -> list[str]:
    """Return the lines of a terminal of that size."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=stream, width=width, height=height, force_terminal=True, color_system=None)
    console.print(view, end="")
    stream.seek(0)
    return stream.read().split("\n")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 60), (60, 16)])
@pytest.mark.parametrize("state", ["starting", "running", "paused", "finished"])
def test_the_view_fills_the_screen_and_no_more(state: str, width: int, height: int) -> None:
    moment = Moment(**{**vars(RUN), "state": state})
    lines = screen(View(moment=moment, keys=True, full=True), width, height)
    assert len(lines) == height
    assert all(len(line) <= width for line in lines)
    assert "q" in lines[-1]


def test_a_small_terminal_shows_what_matters() -> None:
    text = "\n".join(lines := screen(View(moment=RUN, keys=True, full=True), 80, 24))
    assert "Digits through two media" in lines[0]
    assert "RUNNING" in lines[0]
    for part in (
        "SIMULATED, MEASURED physics",
        "seed 5",
        "epoch 13/200",
        "6.2 %",
        "step 345/5600",
        "elapsed 1 min 12 s",
        "left 1 h 03 min",
        "8 123 passes/s",
        "0.123",
        "93.00 %",
        "best 97.50 % (epoch 10)",
        "124 456: train 123 456, standardise 1 000",
        "2 warnings, 3 rows measured again",
        "event 19",
        "loss, log scale",
    ):
        assert part in text
    assert lines[-1].split() == ["p", "pause", "s", "finish", "and", "test", "x", "interrupt", "q", "quit", "view"]
    assert any(0x2800 < ord(character) <= 0x28FF for character in text)


def test_writes_of_parameters_and_answers_from_a_cache_are_shown_where_there_are_any() -> None:
    assert "parameters" not in "\n".join(screen(View(moment=RUN, keys=True, full=True), 80, 24))
    moment = Moment(**{**vars(RUN), "parameter_writes": 1234, "cache_hits": 1})
    (line,) = [line for line in screen(View(moment=moment, keys=True, full=True), 80, 24) if "parameters" in line]
    assert line.strip() == "beside   1 234 writes of parameters, 1 row answered from the cache"
    moment = Moment(**{**vars(RUN), "parameter_writes": 1})
    assert any("1 write of parameters" in line for line in screen(View(moment=moment), 80, 24))


def test_a_paused_run_says_why_and_that_its_outputs_are_safe() -> None:
    paused = Moment(**{**vars(RUN), "state": "paused", "reason": "the disk is full"})
    lines = screen(View(moment=paused, keys=True, full=True), 80, 24)
    assert "PAUSED" in lines[0]
    assert any("outputs safe: the disk is full" in line for line in lines)
    assert "continue" in lines[-1]
    assert "left" not in lines[3]


def test_what_was_asked_for_is_shown_until_it_happens() -> None:
    for view in (View(moment=RUN, asked="pause"), View(moment=Moment(**{**vars(RUN), "asked": "pause"}))):
        assert any("pausing after this batch" in line for line in screen(view, 80, 24))


def test_what_cant_be_taken_back_is_asked_twice_and_fits() -> None:
    for action in ("finish", "interrupt"):
        last = screen(View(moment=RUN, keys=True, question=action, full=True), 80, 24)[-1]
        assert last.split()[-4:] == ["y", "yes", "n", "no"]


def test_an_ended_run_says_how() -> None:
    ended = Moment(
        **{**vars(RUN), "state": "finished", "status": "fault", "message": "cable lost", "test_accuracy": 0.5}
    )
    lines = screen(View(moment=ended, keys=True, full=True), 80, 24)
    assert "FAULT" in lines[0]
    assert any("ended: cable lost" in line and "50.00 %" in line for line in lines)


def test_deep_networks_and_many_metrics_are_cut_and_say_so() -> None:
    deep = Moment(
        **{
            **vars(RUN),
            "layers": tuple(f"layer {number}" for number in range(40)),
            "metrics": {f"metric_{number}": (LOSS,) * 40 for number in range(9)},
        }
    )
    lines = screen(View(moment=deep, keys=True, full=True), 80, 24)
    assert len(lines) == 24
    text = "\n".join(lines)
    assert "layers and 6 metrics that do not fit here" in text
    assert "validation" in text
    assert "trouble" in text
    assert "layer 39" in "\n".join(screen(View(moment=deep), 80, 24))


def test_a_run_that_says_nothing_yet_can_be_shown() -> None:
    assert "STARTING" in screen(View(moment=Moment(), keys=False, full=True), 80, 24)[0]


def test_a_terminal_without_unicode_gets_ascii() -> None:
    text = "\n".join(screen(View(moment=RUN, keys=True, full=True), 80, 24, encoding="ascii"))
    assert text.isascii()
    assert "##...." in text


def test_no_message_can_move_the_cursor() -> None:
    assert plain("a\x1b[2Jb\rc\x07\n") == "a [2Jb c  "
    evil = Moment(
        title="\x1b]0;x\x07", layers=("\x1b[2J",), events=(Event(time=0.0, level="fault", message="[red]\x1b[H"),)
    )
    text = "\n".join(screen(View(moment=evil), 80, 24))
    assert "\x1b" not in text
    assert "[red]" in text


def test_a_line_per_epoch_says_the_essential() -> None:
    assert epoch_line(RUN) == "epoch 12/200: validation 97.20 %, 124456 passes, 8 123 passes/s, 1 h 03 min left"
    assert epoch_line(Moment(epoch=1, epochs=2)) == "epoch 1/2: 0 passes"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "?"), (0.4, "0 s"), (59.6, "1 min 00 s"), (3599, "59 min 59 s"), (7260, "2 h 01 min"), (90000, "1 d 1 h")],
)
def test_durations_are_written_for_people(seconds: float | None, text: str) -> None:
    assert seconds_text(seconds) == text


def test_a_sparkline_goes_from_its_lowest_to_its_highest() -> None:
    assert sparkline(range(8), 8) == "▁▂▃▄▅▆▇█"
    assert sparkline(range(80), 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([2, 1], 8, ascii_only=True) == "#_".replace("#", "@")
    assert sparkline([5, 5], 8) == "▁▁"
    assert sparkline([], 8) == sparkline([1], 0) == ""
    assert sparkline([1, 10, 100], 3, logarithmic=True) == "▁▅█"


def test_only_a_wide_positive_range_is_logarithmic() -> None:
    assert is_logarithmic([[1, 2], [50]])
    assert not is_logarithmic([[1, 2], [3]])
    assert not is_logarithmic([[-1, 50]])
    assert not is_logarithmic([[], []])


def test_a_chart_is_as_large_as_asked_and_holds_its_curves() -> None:
    lines = chart([(range(10), "red"), ((), "blue"), ([3.0], "green")], width=30, height=4)
    assert [len(line) for line in lines] == [30] * 4
    assert lines[0].plain.startswith("9 │")
    assert lines[-1].plain.startswith("0 │")
    assert {str(span.style) for line in lines for span in line.spans} >= {"red", "green"}
    assert all(len(line) == 30 for line in chart([([], "red")], width=30, height=4))
    assert chart([([1.0, 1.0], "red")], width=12, height=2)[0].plain.startswith("1 │")
