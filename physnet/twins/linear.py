"""A twin that is one affine map, by least squares.

Axis letters: N rows; F features; O outputs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .model import Model, split_complex
from .pairs import Part

_RIDGES = (1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Tried, as parts of the mean square of the features."""


def fit_linear(
    features_NF: NDArray[np.float64], train: Part, features_of_validation: NDArray[np.float64], validation: Part
) -> Model:
    """Fit response = features W + b by ridge regression; the validation part chooses the ridge.

    Args:
        features_NF: Features of the training part.
        train: What to fit on.
        features_of_validation: Features of the validation part.
        validation: What to choose the ridge by.
    """
    target_NO, chosen_NO = split_complex(train.response_NR), split_complex(validation.response_NR)
    mean_F, mean_O = features_NF.mean(axis=0), target_NO.mean(axis=0)
    centred_NF = features_NF - mean_F
    gram_FF = centred_NF.T @ centred_NF
    moment_FO = centred_NF.T @ (target_NO - mean_O)
    scale = max(float(np.trace(gram_FF)) / len(gram_FF), 1e-30)
    values_F, vectors_FF = np.linalg.eigh(gram_FF)
    rotated_FO = vectors_FF.T @ moment_FO
    best, lowest = np.zeros_like(moment_FO), np.inf
    for ridge in _RIDGES:
        weight_FO = vectors_FF @ (rotated_FO / (np.maximum(values_F, 0.0) + ridge * scale)[:, None])
        error = float(np.square((features_of_validation - mean_F) @ weight_FO + mean_O - chosen_NO).sum())
        if error < lowest:
            best, lowest = weight_FO, error
    return Model(
        kind="linear",
        head="complex" if np.iscomplexobj(train.response_NR) else "plain",
        mean_F=mean_F.astype(np.float32),
        maps=((best.astype(np.float32), mean_O.astype(np.float32)),),
    )
