"""Data to train on: public sets, and the user's own files.

`load` returns a `Dataset` for a name in `DATASETS`, or for `"table"` and the path of a file. `split` cuts it
into rows to train on, to choose by and to report on; `FeatureScaling` is fitted on the training rows alone::

    dataset = load("vowels")
    splits = split(dataset, by="group", seed=0)
    scaling = FeatureScaling.fit("standard", splits.train.x)

Public files are read from the folder in the environment variable `PHYSNET_DATA_DIR`, else downloaded once and
kept.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ..errors import DataError
from . import digits, mnist, sign, vowel_audio, vowels
from .columns import nearest
from .dataset import Dataset, Rows, Splits, Subset, split
from .fetch import DATA_DIR, locate
from .scaling import FeatureScaling, ScalingKind
from .tables import load_features, load_table

__all__ = [
    "DATASETS",
    "DATA_DIR",
    "Dataset",
    "FeatureScaling",
    "Rows",
    "ScalingKind",
    "Splits",
    "Subset",
    "load",
    "load_features",
    "load_table",
    "locate",
    "split",
]

DATASETS: Mapping[str, Callable[..., Dataset]] = MappingProxyType(
    {
        "digits": digits.load,
        "mnist": mnist.load,
        "sign": sign.load,
        "vowel-audio": vowel_audio.load,
        "vowels": vowels.load,
    }
)
"""The public data sets and the synthetic one, by name."""


def load(name_or_kind: str, /, **options: Any) -> Dataset:
    """Load a data set by name.

    Args:
        name_or_kind: A name in `DATASETS`, or `"table"` for a file of the user's own.
        **options: What the loader takes: for `"table"`, those of `load_table`, `path` among them.

    Returns:
        The data set.

    Raises:
        DataError: There is no such data set, it takes no such option, or its file can't be read.
    """
    loaders = {**DATASETS, "table": load_table}
    loader = loaders.get(name_or_kind)
    if loader is None:
        raise DataError(
            f"dataset must be one of {', '.join(loaders)}, got {name_or_kind!r}. {nearest(name_or_kind, loaders)}"
        )
    signature = inspect.signature(loader)
    try:
        signature.bind(**options)
    except TypeError as error:
        takes = ", ".join(signature.parameters) or "none"
        raise DataError(
            f"options of dataset {name_or_kind!r} must be among: {takes}; got {', '.join(options) or 'none'} "
            f"({error}). Correct the option's name, or add the missing one."
        ) from error
    return loader(**options)
