"""Find a public data file on this machine, or download it once, and know that it is the right one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import DataError

DATA_DIR = "PHYSNET_DATA_DIR"
_TIMEOUT = 30.0  # s without a byte from the server


def locate(
    relative: str, *, checksum: str, mirrors: Sequence[str] = (), advice: str = "", cache: Path | None = None
) -> Path:
    """Return where a data file lies, downloading it if need be.

    It is looked for in the folder that the environment variable `PHYSNET_DATA_DIR` names, then in the cache,
    then on the mirrors. Its checksum is verified every time. A file that fails is never deleted or replaced.

    Args:
        relative: Path below the data folder, with forward slashes, for example
            `"mnist/t10k-labels-idx1-ubyte.gz"`.
        checksum: Algorithm and hexadecimal digest, for example `"md5:ec29..."`.
        mirrors: Base addresses to which `relative` is appended, in the order they are tried.
        advice: How else to get the file: a sentence, for the message when it is nowhere.
        cache: Folder that downloads are kept in. None for physnet's own, in the place that the operating
            system has for it.

    Returns:
        Path of the file, verified.

    Raises:
        DataError: The file can't be had, or it is another file than expected.
    """
    import pooch

    cache = pooch.os_cache("physnet") if cache is None else cache
    folders = [cache]
    if chosen := os.environ.get(DATA_DIR):
        if not Path(chosen).is_dir():
            raise DataError(f"{DATA_DIR} must name a folder, got {chosen!r}. Correct the variable, or unset it.")
        folders.insert(0, Path(chosen))
    for folder in folders:
        path = folder / relative
        if path.exists():
            verify(path, checksum)
            return path
    path = cache / relative
    failures: list[str] = []
    cause: Exception | None = None
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{relative}"
        try:
            # Kept only if the checksum holds: pooch downloads to a temporary file, verifies, then moves. Not
            # streamed, because pooch leaves a streamed connection open when the server answers with an error.
            pooch.retrieve(
                url,
                known_hash=checksum,
                fname=path.name,
                path=path.parent,
                downloader=pooch.HTTPDownloader(timeout=_TIMEOUT, stream=False),
            )
        # Those of requests are OSErrors; a wrong checksum is a ValueError.
        except (OSError, ValueError) as error:
            failures.append(f"{url}: {error}")
            cause = error
        else:
            return path
    way_out = f"Put it at {path}, or below a folder of yours as {relative} and set {DATA_DIR} to that folder."
    looked = " and ".join(str(folder / relative) for folder in folders)
    if failures:
        raise DataError(
            f"{relative} must be on this machine or on a mirror, got neither: not at {looked}, and "
            f"{'; '.join(failures)}. Try again with a network. Without one, copy the file from another "
            f"machine. {way_out}"
        ) from cause
    raise DataError(
        f"{relative} must be on this machine, got nothing at {looked}. {advice}{' ' if advice else ''}{way_out}"
    )


def verify(path: Path, checksum: str) -> None:
    """Check that a file is the expected one.

    Args:
        path: The file.
        checksum: Algorithm and hexadecimal digest, for example `"sha256:37d2..."`.

    Raises:
        DataError: It is another file, or can't be read.
    """
    algorithm, expected = checksum.split(":")
    found = file_digest(path, algorithm)
    if found != expected:
        raise DataError(
            f"{path} must have the {algorithm} checksum {expected}, got {found} ({path.stat().st_size} "
            "bytes). It is damaged or another version: move it away, then put the original file there or "
            "let it be downloaded."
        )


def file_digest(path: Path, algorithm: str) -> str:
    """Return the hexadecimal digest of a file's bytes.

    Args:
        path: The file.
        algorithm: `"sha256"`, or `"md5"` where that is what the publisher gave: it guards against damage and
            mix-ups, not against an attacker.

    Raises:
        DataError: The file can't be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DataError(
            f"{path} must be a file that can be read, got: {error}. Move it away, or correct its permissions."
        ) from error
