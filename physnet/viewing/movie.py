"""A field as a movie. Frames are few and small, and a frame of a GIF is kept as one byte a pixel."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib import animation, colormaps, rc_context
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image as Picture

from ..errors import SessionError
from .drawing import _CLASSES, _MARKS, COLOURS, PHASES, SIGNED, SIZES, Drawer, Move, proportion
from .encoder import find_ffmpeg
from .figures import at, plain
from .picture import Field, Image, Panel, Points

Movie = Literal["gif", "mp4", "none"]
_RATE, _SLOWEST = 14, 3  # frames per second
_SECONDS = 4.0  # at least, where there are few frames
_DPI = 80
_SHADES = 128  # of the palette for the colours of a scale, the others for text, lines and marks


def check_movie(kind: Movie) -> None:
    """Refuse a movie that this computer can't write.

    Raises:
        InputError: It has no ffmpeg.
    """
    if kind == "mp4":
        find_ffmpeg()


def write_movie(
    field: Field, path: Path, *, title: str, kind: Movie, interrupted: Callable[[], None] = lambda: None
) -> Path:
    """Write all frames of a field.

    Args:
        field: What to show.
        path: The file.
        title: Above each frame.
        kind: `gif` or `mp4`.
        interrupted: Called before each frame; raises to stop.

    Raises:
        InputError: There is no ffmpeg for an mp4.
        SessionError: The file can't be written.
    """
    settings: dict[Any, Any] = {"animation.ffmpeg_path": find_ffmpeg()} if kind == "mp4" else {}
    figure, moves, heading = _stage(field, title)
    rate = max(_SLOWEST, min(_RATE, round(len(field.at_F) / _SECONDS)))
    try:
        with rc_context(settings), _writer(field, kind, rate).saving(figure, str(path), _DPI) as writer:
            for frame in range(len(field.at_F)):
                interrupted()
                for move in moves:
                    move(frame)
                heading.set_text(plain(f"{title}\n{at(field, frame)}"))
                writer.grab_frame()
    except (OSError, subprocess.CalledProcessError) as error:  # a disk that is full ends ffmpeg
        raise SessionError(f"movie {path} can't be written: {error}. Choose another folder with -o.") from error
    return path


def _writer(field: Field, kind: Movie, rate: int) -> Any:
    return _SmallGif(field, fps=rate) if kind == "gif" else animation.FFMpegWriter(fps=rate, codec="h264")


def _stage(field: Field, title: str) -> tuple[Figure, list[Move], Any]:
    """Draw the first frame; what moves stands above, the rest below."""
    upper = [panel for panel in field.panels if panel.moves or panel.compact]
    lower = [panel for panel in field.panels if panel not in upper]
    wide = max(len(upper), 1)
    width = min(7.0 * wide, 13.0)
    tall = max(((width / wide - 1.7) * (proportion(panel) or 0.55) + 1.3 for panel in upper), default=3.0)
    heights = [tall] + [2.3] * bool(lower)
    figure = Figure(figsize=(width, sum(heights) + 0.5), layout="constrained")
    heading = figure.suptitle(plain(f"{title}\n{at(field, 0)}"), fontsize=11)
    rows = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    moves: list[Move] = []
    for part, panels in zip(rows, [one for one in (upper, lower) if one], strict=True):
        drawer = Drawer.of(part, field)
        for axes, panel in zip(np.atleast_1d(part.subplots(1, len(panels))), panels, strict=True):
            moves.append(drawer.draw(axes, _short(panel), frame=0))
    # Laid out once, with the longest heading: a layout that is found anew for each frame would tremble.
    heading.set_text(plain(f"{title}\n{at(field, len(field.at_F) - 1)}"))
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure, moves, heading


def _short(panel: Panel) -> Panel:
    """Return a panel without what would only fill a small picture."""
    return dataclasses.replace(panel, title=plain(panel.title))


class _SmallGif(animation.PillowWriter):
    """Maps each frame to one palette as it comes: a third of the memory, smaller files, and no flicker."""

    _frames: list[Picture.Image]

    def __init__(self, field: Field, **options: Any) -> None:
        super().__init__(**options)
        self._palette = _palette(field)

    def grab_frame(self, **options: Any) -> None:
        """Take a frame."""
        super().grab_frame(**options)
        frame = self._frames[-1].convert("RGB")
        self._frames[-1] = frame.quantize(palette=self._palette, dither=Picture.Dither.NONE)


def _palette(field: Field) -> Picture.Image:
    """Return the colours that the pictures of a field are made of: scales, greys of text, and those of lines."""
    names = set()
    for panel in field.panels:
        drawings: list[Image | Points] = [*panel.images, *(mark for mark in panel.points if mark.values is not None)]
        for drawn in drawings:
            names.add(PHASES if drawn.cyclic else SIGNED if drawn.signed else SIZES)
    each = _SHADES // max(len(names), 1)
    colours = [tuple(colormaps[name](x)[:3]) for name in sorted(names) for x in np.linspace(0, 1, each)]
    flat = [*COLOURS, *_CLASSES, *(mark["color"] for mark in _MARKS.values())]
    for share in (1.0, 0.6, 0.3):  # a line is smoothed towards white
        colours += [tuple(1 - share * (1 - part) for part in to_rgb(colour)) for colour in dict.fromkeys(flat)]
    colours = colours[:224]
    colours += [(grey, grey, grey) for grey in np.linspace(0, 1, 256 - len(colours))]
    palette = Picture.new("P", (1, 1))
    palette.putpalette([round(255 * part) for colour in colours for part in colour])
    return palette
