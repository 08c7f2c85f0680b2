"""Three spoken vowels as sound: the loudest quarter of a second of each recording."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .array_files import read_npz
from .dataset import Dataset
from .fetch import locate

FILE = "vowels/wav_ae_ei_iy_279.npz"
SHA256 = "70f46597cf537fc908b5b3e7b269e40f37dd406c407f7ee2b9f8f9bb1506712b"
CLASSES = ("ae", "ei", "iy")
RATE = 16_000  # samples per s
RMS = 0.125  # of every excerpt: full scale is 18 dB above it, and the crest factor of a vowel is near 10 dB
ADVICE = (
    "No public download of this file is known: it holds the recordings of three of the twelve vowels of Hillenbrand et "
    "al. (homepages.wmich.edu/~hillenbr/voweldata.html, in the Wayback Machine) end to end. Copy it from somebody who "
    "has it, or make excerpts of your own recordings, one a row, and load them with physnet.data.load_table."
)
_ARRAYS = ("audio", "offsets", "label", "name", "sample_rate")


@dataclass(frozen=True, kw_only=True, eq=False)
class Recordings:
    """What the file holds.

    Args:
        audio: All recordings end to end, int16.
        offsets: Where each begins, and where the last one ends, int64, one more than there are recordings.
        label: Class of each, an index into `CLASSES`, int64.
        speaker: Who speaks, the first three characters of the recording's name.
    """

    audio: NDArray[np.int16]
    offsets: NDArray[np.int64]
    label: NDArray[np.int64]
    speaker: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, number: int) -> NDArray[np.int16]:
        return self.audio[self.offsets[number] : self.offsets[number + 1]]


def load(*, samples: int = 4096) -> Dataset:
    """Load 279 recordings of the vowels ae, ei and iy, spoken by 93 men and women, as sound of equal length.

    Of each recording the `samples` successive samples with the most energy are taken, after the mean of the recording
    was subtracted; in the middle of a word, that is its vowel. They are brought to an RMS of 0.125, or to a peak of 1
    where they would exceed -1..1, so that an encoder must not scale them again: `encoder = "affine"` from -1 to 1
    plays them as they are. Each recording is treated by itself: nothing is fitted to others, and neither label nor the
    vowel's times, which the file also has, are looked at. Groups are the speakers: split by group for a claim about
    new speakers.

    Args:
        samples: Length of an excerpt in samples of 1/16 ms, at least 1 and at most the shortest recording (5934).

    Returns:
        `samples` features within -1..1, 3 classes.

    Raises:
        DataError: The file is not in `$PHYSNET_DATA_DIR/vowels` nor in the cache, or isn't the expected one.

    Source:
        J. Hillenbrand, L. A. Getty, M. J. Clark, K. Wheeler, Acoustic characteristics of American English
        vowels, J. Acoust. Soc. Am. 97(5):3099-3111, 1995. The task: T. W. Hughes, I. A. D. Williamson, M. Minkov,
        S. Fan, Wave physics as an analog recurrent neural network, Science Advances 5, eaay6946 (2019).
    """
    recordings = read_recordings(locate(FILE, checksum=f"sha256:{SHA256}", advice=ADVICE))
    _, groups = np.unique(recordings.speaker, return_inverse=True)
    return Dataset(
        name="vowel-audio",
        x=np.stack([excerpt(recordings[number], samples) for number in range(len(recordings))]),
        y=recordings.label,
        classes=CLASSES,
        groups=groups.astype(np.int64),
        source="Hillenbrand et al., J. Acoust. Soc. Am. 97(5):3099-3111, 1995",
        checksum=f"sha256:{SHA256}",
    )


def excerpt(recording: NDArray[np.int16], samples: int) -> NDArray[np.float32]:
    """Cut the loudest part out of a recording, and bring it to the common loudness.

    Args:
        recording: One recording, shape `(n,)`, not silent.
        samples: Length of the part, 1 to n.

    Returns:
        Shape `(samples,)`, within -1..1, of RMS `RMS` unless its peak would then be beyond 1.

    Raises:
        DataError: The recording is shorter, or silent.
    """
    if not 1 <= samples <= len(recording):
        raise DataError(
            f"samples must be 1 to the {len(recording)} samples of a recording, got {samples}. Choose another length."
        )
    sound = recording - recording.mean(dtype=np.float64)
    energy = np.concatenate([[0.0], np.cumsum(sound**2)])
    first = int(np.argmax(energy[samples:] - energy[:-samples]))
    part = sound[first : first + samples]
    loudness, peak = float(np.sqrt(np.mean(part**2))), float(np.abs(part).max())
    if not peak > 0:
        raise DataError("a recording must not be silent, got one value throughout. Leave it out.")
    scaled: NDArray[np.float32] = (part * min(RMS / loudness, 1 / peak)).astype(np.float32)
    return scaled


def read_recordings(path: Path) -> Recordings:
    """Read the recordings of a file, and check that they belong together.

    Args:
        path: An NPZ file with the arrays `audio` (int16, all end to end), `offsets`, `label`, `name` and `sample_rate`.

    Raises:
        DataError: The file is damaged, or its arrays contradict each other.
    """
    arrays = read_npz(path, dict.fromkeys(_ARRAYS, "a recording"))
    audio, offsets, label, name, rate = (arrays[key] for key in _ARRAYS)
    rows = label.size
    _check(path, "audio", audio, "int16, of one axis", audio.dtype == np.int16 and audio.ndim == 1)
    _check(path, "label", label, "integers, of one axis", label.dtype.kind in "iu" and label.ndim == 1 and rows > 0)
    _check(
        path,
        "offsets",
        offsets,
        f"{rows + 1} integers, one more than labels",
        offsets.dtype.kind in "iu" and offsets.shape == (rows + 1,),
    )
    _check(path, "name", name, f"{rows} texts, one per label", name.dtype.kind == "U" and name.shape == (rows,))
    _check(
        path, "sample_rate", rate, "one number", rate.dtype.kind in "iuf" and rate.shape == () and bool(rate == RATE),
        f"{RATE} samples per s, ",
    )  # fmt: skip
    edges, number = offsets.astype(np.int64), label.astype(np.int64)
    if edges[0] != 0 or edges[-1] != len(audio) or bool(np.any(np.diff(edges) < 1)):
        raise DataError(
            f"{path}: offsets must rise from 0 to the {len(audio)} samples of audio, got {edges[0]} to {edges[-1]}. "
            "Put the original file in its place."
        )
    for row in range(rows):
        vowel = str(name[row])[3:]
        if not 0 <= number[row] < len(CLASSES) or vowel != CLASSES[number[row]]:
            raise DataError(
                f"{path}: label must be the place of a recording's vowel among {', '.join(CLASSES)}, got {number[row]} "
                f"for {str(name[row])!r}. Put the original file in its place."
            )
    return Recordings(audio=audio, offsets=edges, label=number, speaker=np.array([str(one)[:3] for one in name]))


def _check(path: Path, key: str, array: NDArray[Any], rule: str, kept: bool, more: str = "") -> None:
    if not kept:
        found = f"{array.dtype} of shape {array.shape}" + (f" ({array})" if array.size == 1 else "")
        raise DataError(f"{path}: {key} must be {more}{rule}, got {found}. Put the original file in its place.")
