"""Recordings become sounds of one length and one loudness, each by itself, and a damaged file is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as numpy_arrays

from physnet.data import load, split
from physnet.data.vowel_audio import RMS, excerpt, read_recordings
from physnet.errors import DataError

SOUNDS = [np.arange(-4, 5, dtype=np.int16), np.ones(7, np.int16), np.arange(5, dtype=np.int16)]
SOUND: dict[str, Any] = {
    "audio": np.concatenate(SOUNDS),
    "offsets": np.array([0, 9, 16, 21], np.int32),
    "label": np.array([0, 2, 1], np.int8),
    "name": np.array(["m01ae", "m01iy", "w33ei"]),
    "sample_rate": np.array(16_000),
}


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "recordings.npz"
    np.savez(path, **{name: array for name, array in {**SOUND, **changes}.items() if array is not None})
    return path


def test_recordings_and_speakers_are_read(tmp_path: Path) -> None:
    recordings = read_recordings(write(tmp_path))
    assert len(recordings) == 3
    for number, sound in enumerate(SOUNDS):
        np.testing.assert_array_equal(recordings[number], sound)
    assert recordings.label.tolist() == [0, 2, 1]
    assert recordings.speaker.tolist() == ["m01", "m01", "w33"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"audio": SOUND["audio"].astype(np.float32)}, "audio must be int16, of one axis, got float32"),
        ({"audio": SOUND["audio"].reshape(3, 7)}, r"audio must be int16, of one axis, got int16 of shape \(3, 7\)"),
        ({"audio": SOUND["audio"][:-1]}, "rise from 0 to the 20 samples of audio, got 0 to 21"),
        ({"audio": None}, "must name an array.*'audio'"),
        ({"audio": np.array([{}])}, "sound NPZ file of plain arrays"),  # it would have to be unpickled
        ({"offsets": SOUND["offsets"][:-1]}, "offsets must be 4 integers, one more than labels"),
        ({"offsets": np.array([0, 9, 9, 21])}, "offsets must rise"),
        ({"label": SOUND["label"][:0]}, "label must be integers"),
        ({"label": np.array([0, 2, 3])}, "got 3 for 'w33ei'"),
        ({"label": np.array([0, 2, -1])}, "got -1 for 'w33ei'"),
        ({"label": np.array([1, 2, 1])}, "got 1 for 'm01ae'"),
        ({"name": SOUND["name"][:2]}, "name must be 3 texts"),
        ({"sample_rate": np.array(8000)}, r"16000 samples per s, one number, got int64 of shape \(\) \(8000\)"),
        ({"sample_rate": np.array([16_000, 16_000])}, "sample_rate must be"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_recordings(write(tmp_path, **changes))


@pytest.mark.parametrize("length", [0, 1, 200, -1])
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, length: int) -> None:
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match=r"recordings\.npz must be an NPZ file"):
        read_recordings(path)


def test_an_excerpt_is_the_loudest_part_without_the_mean() -> None:
    recording = np.full(100, 500, np.int16)  # a constant offset is no sound
    recording[60:70] += np.array([1000, -1000] * 5, np.int16)
    found = excerpt(recording, 10)
    np.testing.assert_allclose(found, RMS * np.array([1, -1] * 5), rtol=1e-6)  # float32


def test_a_peak_that_would_exceed_full_scale_is_brought_to_it() -> None:
    recording = np.zeros(400, np.int16)
    recording[200] = 30_000
    found = excerpt(recording, 400)
    # The mean is 75; the peak of 29 925 becomes 1.
    assert np.abs(found).max() == pytest.approx(1, abs=1e-6)
    assert np.sqrt(np.mean(found**2)) < RMS


@given(recording=numpy_arrays(np.int16, st.integers(5, 60)), samples=st.integers(1, 5))
def test_an_excerpt_is_always_within_full_scale(recording: Any, samples: int) -> None:
    try:
        found = excerpt(recording, samples)
    except DataError as error:
        assert "silent" in str(error)
        assert np.ptp(recording) == 0
        return
    assert found.shape == (samples,)
    assert np.abs(found).max() <= 1 + 1e-6  # float32
    assert np.sqrt(np.mean(found.astype(np.float64) ** 2)) <= RMS * (1 + 1e-6)


@pytest.mark.parametrize("samples", [0, 10])
def test_an_excerpt_longer_than_the_recording_is_refused(samples: int) -> None:
    with pytest.raises(DataError, match=f"samples must be 1 to the 9 samples of a recording, got {samples}"):
        excerpt(SOUNDS[0], samples)


def test_the_real_recordings_are_three_classes_of_93_speakers(data_dir: Path) -> None:
    sounds = load("vowel-audio")
    assert sounds.x.shape == (279, 4096)
    assert np.bincount(sounds.y).tolist() == [93, 93, 93]
    assert sounds.groups is not None
    assert np.bincount(sounds.groups).tolist() == [3] * 93
    np.testing.assert_allclose(np.sqrt(np.mean(sounds.x.astype(np.float64) ** 2, axis=1)), RMS, rtol=1e-6)
    assert np.abs(sounds.x).max() < 0.7
    splits = split(sounds, by="group", seed=0)
    assert not set(sounds.groups[splits.train.index]) & set(sounds.groups[splits.test.index])
    np.testing.assert_array_equal(load("vowel-audio", samples=4096).x, sounds.x)
