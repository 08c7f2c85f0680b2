"""Seven spoken vowels as formants: the table that papers on physical networks train on."""

from __future__ import annotations

import csv

import numpy as np

from ..errors import DataError
from .dataset import Dataset
from .fetch import locate

FILE = "vowels/vowels_7class_258.csv"
SHA256 = "37d2498d294c6dfb619c23895fbbee7ee3c47593de098e4587c9994a12f252cd"
FORMANTS = tuple(f"F{number}{time}" for time in ("", "_20", "_50", "_80") for number in (1, 2, 3))
# The authors' page is gone, and the table is a balanced draw from the 316 complete tokens that its vowdata.dat
# has for these vowels and speakers: nothing that could be downloaded says which were drawn.
ADVICE = (
    "No public download of this table is known: copy it from somebody who has it, or load another selection of the "
    "same data (vowdata.dat of homepages.wmich.edu/~hillenbr/voweldata.html, in the Wayback Machine), saved as CSV, "
    "with physnet.data.load_table."
)


def load() -> Dataset:
    """Load 258 vowels spoken by 48 women, each as 12 formant frequencies in Hz.

    The formants are F1-F3 at steady state and at 20, 50 and 80 % of the vowel. Groups are the speakers: split
    by group for a claim about new speakers; the papers split by row.

    Returns:
        12 features, 7 classes, not scaled.

    Raises:
        DataError: The file is not in `$PHYSNET_DATA_DIR/vowels` nor in the cache, or isn't the expected one.

    Source:
        J. Hillenbrand, L. A. Getty, M. J. Clark, K. Wheeler, Acoustic characteristics of American English
        vowels, J. Acoust. Soc. Am. 97(5):3099-3111, 1995.
    """
    path = locate(FILE, checksum=f"sha256:{SHA256}", advice=ADVICE)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            tokens = list(csv.DictReader(file))
    except OSError as error:
        raise DataError(f"{path} must be a file that can be read, got: {error}. Check its permissions.") from error
    classes = sorted({token["vowel"] for token in tokens})
    _, speakers = np.unique([token["file"][:3] for token in tokens], return_inverse=True)
    return Dataset(
        name="vowels",
        x=np.array([[float(token[name]) for name in FORMANTS] for token in tokens], dtype=np.float32),
        y=np.array([classes.index(token["vowel"]) for token in tokens], dtype=np.int64),
        classes=tuple(classes),
        groups=speakers.astype(np.int64),
        feature_names=FORMANTS,
        unit="Hz",
        source="Hillenbrand et al., J. Acoust. Soc. Am. 97(5):3099-3111, 1995",
        checksum=f"sha256:{SHA256}",
    )
