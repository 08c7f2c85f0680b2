"""Which program encodes an mp4: the ffmpeg that matplotlib is set to, or the one that the extra `movies` brings."""

from __future__ import annotations

from matplotlib import animation, rcParams

from ..errors import InputError


def find_ffmpeg() -> str:
    """Return the program, as `rcParams["animation.ffmpeg_path"]` takes it.

    First comes what matplotlib finds by itself: `ffmpeg` on the path, or what a user has set there.

    Raises:
        InputError: There is none.
    """
    if animation.writers.is_available("ffmpeg"):
        return str(rcParams["animation.ffmpeg_path"])
    try:
        import imageio_ffmpeg  # at most here: it is an extra

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:  # not installed; a wheel without a program for this platform
        raise InputError(
            "--movie must be gif or none where there is no ffmpeg, got mp4. Install it with pip install "
            "'physnet[movies]', or leave --movie out: a GIF needs nothing but what is installed."
        ) from error
