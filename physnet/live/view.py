"""A moment of a run as lines for a terminal, from 80 x 24 upwards."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from functools import partial

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.text import Text

from .curves import chart, is_logarithmic, sparkline
from .protocol import Action, Curve, Moment

FEWEST_COLUMNS = 40
_LAYER_STYLES = ("cyan", "magenta", "yellow", "blue", "green", "red")
_LEVEL_STYLES = {"warning": "yellow", "fault": "bold red"}
_FEWEST_EVENTS, _MOST_EVENTS = 3, 10
_CHART = (5, 18)  # lines of a chart, at least and at most
_COMING: dict[str, str] = {
    "pause": "pausing after this batch ...",
    "continue": "going on ...",
    "finish": "finishing after this batch: then the test, and the end ...",
    "interrupt": "interrupting after this batch: the outputs go safe, and the run can be resumed ...",
}
QUESTIONS: dict[Action, str] = {
    "finish": "Finish after this batch, then test and end?",
    "interrupt": "Interrupt after this batch, to resume later?",
}
"""What is asked before an action that can't be taken back."""


@dataclass(frozen=True, kw_only=True)
class View:
    """What the screen shows; rich prints it.

    Args:
        moment: The run.
        keys: Whether keys are read; None leaves the last line out.
        question: Action that waits for a yes.
        asked: What was asked for, until the run says so itself.
        full: Fill the height of the screen, and no more. Otherwise, as many lines as it takes.
    """

    moment: Moment
    keys: bool | None = None
    question: Action | None = None
    asked: Action | None = None
    full: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines, cut to the width."""
        width = max(options.max_width, FEWEST_COLUMNS)
        lines = self.lines(width, console.height if self.full else None, ascii_only=options.ascii_only)
        for number, line in enumerate(lines):
            if number:
                yield Segment.line()
            line.truncate(options.max_width, overflow="crop" if options.ascii_only else "ellipsis")
            line.no_wrap, line.end = True, ""
            yield line
        if not self.full:
            yield Segment.line()

    def lines(self, width: int, height: int | None, *, ascii_only: bool = False) -> list[Text]:
        """Return the lines, top down.

        Args:
            width: Columns there are.
            height: Lines there are; None for as many as it takes.
            ascii_only: For terminals that know no other characters.
        """
        moment = self.moment
        foot = [] if self.keys is None else [self._footer(width)]
        ending = [*_ending(moment), *self._coming()]
        head = [*_head(moment, width), *_pace(moment, width, ascii_only=ascii_only)]
        counts = _counts(moment)
        if height is None:
            table = _layers(moment, width, None, ascii_only=ascii_only)
            return [*head, *ending, Text(), *table, Text(), *counts, *_events(moment, _MOST_EVENTS), *foot]
        room = height - len(head) - len(ending) - len(counts) - len(foot) - 2
        events = min(_FEWEST_EVENTS, len(moment.events))
        table = _layers(moment, width, max(2, room - events), ascii_only=ascii_only)
        room -= len(table)
        charts: list[Text] = []
        if room - _FEWEST_EVENTS > _CHART[0] and not ascii_only:
            reserved = min(_MOST_EVENTS, max(_FEWEST_EVENTS, room // 3))
            charts = [Text(), *_charts(moment, width, min(room - reserved - 1, _CHART[1]))]
            room -= len(charts)
        body = [*head, *ending, Text(), *table, *charts, Text(), *counts, *_events(moment, max(0, room))]
        space = height - len(body) - len(foot)
        return [*body[: height - len(foot)], *(Text() for _ in range(space)), *foot]

    def _coming(self) -> list[Text]:
        asked = self.moment.asked or self.asked
        if not asked or self.moment.state == "finished":
            return []
        return [Text(f" {_COMING[asked]}", "bold yellow")]

    def _footer(self, width: int) -> Text:
        if self.question:
            return Text.assemble((f" {QUESTIONS[self.question]}", "bold"), "  ", *_key("y", "yes"), *_key("n", "no"))
        if not self.keys:
            return Text(" Ctrl-C leaves this view; the run goes on", "dim")
        if self.moment.state == "finished":
            return Text.assemble(" ", *_key("q", "quit"))
        held = self.moment.state == "paused" or self.moment.asked == "pause"
        words = ("pause, outputs safe", "finish: test, then end", "interrupt, resume later", "quit view")
        if width < 100:
            words = ("pause", "finish and test", "interrupt", "quit view")
        pause, finish, interrupt, leave = words
        return Text.assemble(
            " ",
            *(_key("c", "continue") if held else _key("p", pause)),
            *_key("s", finish),
            *_key("x", interrupt),
            *_key("q", leave),
        )


def seconds_text(seconds: float | None) -> str:
    """Write a duration for a person."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {whole % 60:02} s" if minutes else f"{whole} s"


def plain(text: str) -> str:
    """Return text without what could move a terminal's cursor: instruments and paths say what they like."""
    return "".join(character if character.isprintable() else " " for character in text)


def status_of(moment: Moment) -> str:
    """Return one word for what a run is doing, or how it ended."""
    return moment.status or moment.state if moment.state == "finished" else moment.state


def epoch_line(moment: Moment) -> str:
    """Return a line about the last epoch, for a log."""
    accuracy = f"validation {_percent(moment.validation.latest)}, " if moment.validation.latest is not None else ""
    rate = "" if moment.passes_per_second is None else f", {_count(moment.passes_per_second)} passes/s"
    left = "" if moment.seconds_left is None else f", {seconds_text(moment.seconds_left)} left"
    return f"epoch {moment.epoch}/{moment.epochs}: {accuracy}{moment.physical_passes} passes{rate}{left}"


def _key(key: str, text: str) -> list[tuple[str, str]]:
    return [(f" {key} ", "reverse"), (f" {text}  ", "")]


def _head(moment: Moment, width: int) -> list[Text]:
    word = status_of(moment).upper()
    styles = {"RUNNING": "bold green", "DONE": "bold green", "PAUSED": "bold black on yellow", "STARTING": "bold cyan"}
    state = Text(f" {word} ", styles.get(word, "bold white on red"))
    title = Text(f" {plain(moment.title) or 'physnet'}", "bold")
    title.truncate(max(1, width - len(state) - 1), overflow="ellipsis", pad=True)
    kinds = ", ".join(dict.fromkeys(kind.upper() for kind in moment.kinds))
    tail = f"  {kinds} physics  seed {moment.seed}"
    folder = plain(moment.folder)
    room = max(8, width - len(tail) - 2)
    folder = folder if len(folder) <= room else "..." + folder[len(folder) - room + 3 :]
    return [title.append_text(state), Text(f" {folder}{tail}", "dim")]


def _pace(moment: Moment, width: int, *, ascii_only: bool) -> list[Text]:
    done = moment.step / moment.steps if moment.steps else 0.0
    before = Text(f" epoch {min(moment.epoch + (moment.state != 'finished'), moment.epochs)}/{moment.epochs}  ")
    after = Text(f"  {100 * done:.1f} %  step {moment.step}/{moment.steps}")
    cells = max(4, width - len(before) - len(after) - 1)
    full = int(done * cells)
    mark, rest = ("#", ".") if ascii_only else ("━", "─")
    bar = before.append(mark * full, "green").append(rest * (cells - full), "dim").append_text(after)
    if moment.state == "starting":
        bar = Text(" measuring what the standardisation is fitted on, before the first step")
    facts = [f"elapsed {seconds_text(moment.seconds)}"]
    if moment.state == "running":
        facts.append(f"left {seconds_text(moment.seconds_left)}")
        facts.append(f"{_count(moment.passes_per_second)} passes/s")
    line = Text(" " + "   ".join(facts))
    if moment.state == "paused":
        reason = f"   PAUSED, outputs safe: {plain(moment.reason) or 'no reason given'}"
        line.append(reason, "bold yellow")
    return [bar, line]


def _ending(moment: Moment) -> list[Text]:
    if moment.state != "finished":
        return []
    line = Text(f" ended: {plain(moment.message) or moment.status}", "bold")
    if moment.test_accuracy is not None:
        line.append(f"   test accuracy {_percent(moment.test_accuracy)}", "bold green")
    return [line]


def _layers(moment: Moment, width: int, most: int | None, *, ascii_only: bool) -> list[Text]:
    """A line per layer: each metric's last value and its curve; below them, the validation."""
    name_width = min(16, max([10, *(len(name) for name in moment.layers)]))
    alone = any(value is not None for value in moment.layer_validation)
    room = width - name_width - 2 - (9 if alone else 0)
    names = list(moment.metrics)
    cell = room // len(names) if names else 0
    while names and cell < 16:
        names.pop()
        cell = room // len(names) if names else 0
    left_out = len(moment.metrics) - len(names)
    head = Text(f" {'layer':<{name_width}} ", "dim")
    logarithmic = {name: is_logarithmic([curve.points for curve in moment.metrics[name]]) for name in names}
    for name in names:
        head.append(_fitted(name.replace("_", " "), cell - 1) + " ", "dim")
    if alone:
        head.append("validat.", "dim")
    lines = [head]
    shown = len(moment.layers)
    if most is not None and len(moment.layers) + (left_out > 0) > most - 2:
        shown = max(1, min(shown, most - 3))
    for number, layer in enumerate(moment.layers[:shown]):
        line = Text(" ").append(_fitted(plain(layer), name_width), _style(number)).append(" ")
        for name in names:
            curve = dict(enumerate(moment.metrics[name])).get(number, Curve())
            line.append("     -    " if curve.latest is None else f"{curve.latest:<9.4g} ")
            drawn = sparkline(curve.points, min(cell - 11, 40), logarithmic=logarithmic[name], ascii_only=ascii_only)
            line.append(drawn.ljust(cell - 10), _style(number))
        if alone and number < len(moment.layer_validation):
            line.append(f"{_percent(moment.layer_validation[number]):>8}")
        lines.append(line)
    rest = [f"{len(moment.layers) - shown} layers"] if shown < len(moment.layers) else []
    rest += [f"{left_out} metrics"] if left_out else []
    if rest:
        lines.append(Text(f" and {' and '.join(rest)} that do not fit here", "dim"))
    return [*lines, _validation(moment, width, name_width, ascii_only=ascii_only)]


def _validation(moment: Moment, width: int, name_width: int, *, ascii_only: bool) -> Text:
    line = Text(f" {'validation':<{name_width}} ")
    if moment.validation.latest is None:
        return line.append("not yet", "dim")
    line.append(f"{_percent(moment.validation.latest)}  ", "bold")
    best = f"  best {_percent(moment.best)} (epoch {moment.best_epoch})"
    cells = min(40, width - len(line) - len(best) - 1)
    return line.append(sparkline(moment.validation.points, cells, ascii_only=ascii_only), "green").append(best)


def _charts(moment: Moment, width: int, height: int) -> list[Text]:
    """The validation accuracy, and beside it the first metric of every layer."""
    validation = [(moment.validation.points, "green")]
    named = [("validation accuracy", partial(chart, validation, height=height - 1, percent=True))]
    for name, curves in list(moment.metrics.items())[: 1 + (width >= 150)]:
        drawn = [(c.points, _style(n)) for n, c in enumerate(curves)]
        logarithmic = is_logarithmic([points for points, _ in drawn])
        label = name.replace("_", " ") + (", log scale" if logarithmic else "")
        named.append((label, partial(chart, drawn, height=height - 1, logarithmic=logarithmic)))
    cells = width // len(named) - 2
    lines = [Text() for _ in range(height)]
    for name, draw in named:
        for line, part in zip(lines, [Text(f"{name:^{cells}}", "dim"), *draw(width=cells)], strict=True):
            part.truncate(cells, pad=True)
            line.append(" ").append_text(part).append(" ")
    return lines


def _counts(moment: Moment) -> list[Text]:
    largest = sorted(moment.passes.items(), key=lambda item: -item[1])
    by_purpose = ", ".join(f"{name} {_count(count)}" for name, count in largest)
    passes = Text(f" passes   {_count(moment.physical_passes)}" + (f": {by_purpose}" if by_purpose else ""))
    troubles = Text(" trouble  ")
    counts = {
        "fault": (moment.faults, "bold red"),
        "warning": (moment.warnings, "yellow"),
        "row measured again": (moment.retries, "yellow"),
        "invalid": (moment.invalid, "yellow"),
        "clipped drive": (moment.clipped_drive, "yellow"),
        "clipped response": (moment.clipped_response, "yellow"),
    }
    seen = [(_plural(count, name), style) for name, (count, style) in counts.items() if count]
    beside = [f"{_plural(moment.parameter_writes, 'write')} of parameters"] if moment.parameter_writes else []
    beside += [f"{_plural(moment.cache_hits, 'row')} answered from the cache"] if moment.cache_hits else []
    lines = [passes, Text(f" beside   {', '.join(beside)}")] if beside else [passes]
    for number, (text, style) in enumerate(seen):
        troubles.append(", " if number else "").append(text, style)
    return [*lines, troubles if seen else troubles.append("none", "green")]


def _events(moment: Moment, most: int) -> list[Text]:
    lines = []
    for event in moment.events[max(0, len(moment.events) - most) :] if most else ():
        when = datetime.datetime.fromtimestamp(event.time).astimezone()
        line = Text(f" {when:%H:%M:%S} ", "dim")
        level = "" if event.level == "info" else f"{event.level.upper()} "
        lines.append(line.append(f"{level}{plain(event.message)}", _LEVEL_STYLES.get(event.level, "")))
    return lines


def _style(number: int) -> str:
    return _LAYER_STYLES[number % len(_LAYER_STYLES)]


def _fitted(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else text[: max(0, width - 1)] + "."


def _plural(count: int, name: str) -> str:
    if name == "row measured again":
        return f"{_count(count)} rows measured again"
    return f"{_count(count)} {name}" + ("s" if count != 1 and name != "invalid" else "")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"


def _count(value: float | None) -> str:
    """Write a number with thin groups: 1 234 567."""
    if value is None:
        return "?"
    return f"{value:.2g}" if value < 10 and value != int(value) else f"{value:,.0f}".replace(",", " ")
