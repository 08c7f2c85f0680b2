"""An mp4 is written with nothing installed but a wheel, and holds the frames that a GIF holds."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Picture

from physnet.errors import InputError, SessionError
from physnet.viewing import Axis, Curve, Field, Image, Panel
from physnet.viewing.encoder import find_ffmpeg
from physnet.viewing.movie import check_movie, write_movie

FRAMES = 6
needs_the_wheel = pytest.mark.skipif(
    importlib.util.find_spec("imageio_ffmpeg") is None, reason="the extra movies is not installed"
)


def field() -> Field:
    """A bright bar that moves up, one row a frame, and a cursor."""
    values = np.eye(FRAMES)[:, :, None].repeat(9, axis=2)
    place, time = Axis(name="x", unit="m"), Axis(name="time", unit="s")
    image = Image(values=values, extent=(0, 1, 0, 1), quantity=Axis(name="height", unit="m"))
    at_F = np.arange(FRAMES) * 1e-3
    curve = Curve(x_T=at_F, y_T=at_F)
    return Field(
        panels=(
            Panel(title="bar", x=place, y=place, images=(image,)),
            Panel(title="ramp", x=time, y=place, curves=(curve,), cursor=True),
        ),
        along=time,
        at_F=at_F,
    )


def frames_of_gif(path: Path) -> NDArray[np.float64]:
    with Picture.open(path) as movie:
        frames = []
        for number in range(movie.n_frames):  # type: ignore[attr-defined]
            movie.seek(number)
            frames.append(np.asarray(movie.convert("RGB"), np.float64))
    return np.stack(frames)


def frames_of_mp4(path: Path) -> NDArray[np.float64]:
    subprocess.run([find_ffmpeg(), "-v", "error", "-i", path, path.with_name("%02d.png")], check=True, timeout=60)
    return np.stack(
        [np.asarray(Picture.open(one).convert("RGB"), np.float64) for one in sorted(path.parent.glob("*.png"))]
    )


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without ffmpeg on its path."""
    monkeypatch.setattr("physnet.viewing.encoder.animation.writers.is_available", lambda name: False)


@needs_the_wheel
@pytest.mark.usefixtures("bare")
def test_an_mp4_holds_the_frames_in_their_order(tmp_path: Path) -> None:
    gif = frames_of_gif(write_movie(field(), tmp_path / "bar.gif", title="bar", kind="gif"))
    mp4 = frames_of_mp4(write_movie(field(), tmp_path / "bar.mp4", title="bar", kind="mp4"))
    assert len(mp4) == len(gif) == FRAMES
    height, width = mp4.shape[1:3]
    # H.264 stores colour by blocks of 2 x 2: an odd edge has been cut.
    assert (height % 2, width % 2) == (0, 0) and 0 <= gif.shape[1] - height <= 1 and 0 <= gif.shape[2] - width <= 1
    apart = np.array([[np.abs(one - other[:height, :width]).mean() for other in gif] for one in mp4])
    assert np.array_equal(apart.argmin(1), np.arange(FRAMES))
    # Of 255 levels: the palette of the GIF is 3 from white, H.264 rounds by 2 and blurs edges. A wrong frame differs by
    # two bars of a sixth of half the picture each, by 130 levels on average.
    assert np.diag(apart).max() < 8 < apart[~np.eye(FRAMES, dtype=bool)].min()


@pytest.mark.usefixtures("bare")
def test_a_movie_without_ffmpeg_is_refused_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(InputError, match=r"--movie must be gif or none .*pip install 'physnet\[movies\]'"):
        check_movie("mp4")
    check_movie("gif")


def test_an_ffmpeg_of_one_s_own_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("physnet.viewing.encoder.animation.writers.is_available", lambda name: True)
    monkeypatch.setattr("physnet.viewing.encoder.rcParams", {"animation.ffmpeg_path": "/opt/own/ffmpeg"})
    assert find_ffmpeg() == "/opt/own/ffmpeg"


@needs_the_wheel
@pytest.mark.usefixtures("bare")
def test_the_program_of_the_wheel_runs() -> None:
    said = subprocess.run([find_ffmpeg(), "-version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("ffmpeg version")


@needs_the_wheel
@pytest.mark.usefixtures("bare")
def test_an_mp4_that_can_not_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="can't be written"):
        write_movie(field(), tmp_path / "absent" / "bar.mp4", title="bar", kind="mp4")
