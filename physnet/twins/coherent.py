"""A twin that is a complex transfer matrix and a detector: |A x + b|, or its square.

The phase of the field is not measured, so that the fit is a phase retrieval, one problem per response value. It starts
from several random matrices: phases are taken from the fit, the matrix from the phases by least squares, in turns, with
momentum. The best start of each value is then polished by a quasi-Newton method.

Axis letters: N rows; F features; K complex features and one for b; R response values; S starts.

Source:
    J. R. Fienup, Phase retrieval algorithms: a comparison, Appl. Opt. 21, 2758 (1982): error reduction.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from .model import Head, Model
from .pairs import Part

Detector = Literal["auto", "modulus", "intensity"]
_STARTS, _TURNS, _POLISH = 4, 120, 150
_RIDGE = 1e-4
"""As part of the mean square of the features: what the data hardly show stays small."""


def fit_coherent(
    features_NF: NDArray[np.float64],
    train: Part,
    features_of_validation: NDArray[np.float64],
    validation: Part,
    *,
    field: bool,
    detector: Detector = "auto",
    seed: int = 0,
) -> Model:
    """Fit response = |A x + b|, or |A x + b|^2; a complex response is A x + b itself.

    Args:
        features_NF: Features of the training part.
        train: What to fit on.
        features_of_validation: Features of the validation part.
        validation: What chooses the detector when that is `auto`.
        field: Whether the features are the real parts of x, then the imaginary parts; else x is real.
        detector: What the detector takes.
        seed: Of the starts.
    """
    mean_F = features_NF.mean(axis=0)
    scale = float(np.sqrt(np.square(features_NF - mean_F).mean())) or 1.0
    design_NK = _design((features_NF - mean_F) / scale, field=field)
    if np.iscomplexobj(train.response_NR):
        solve = _least_squares(design_NK)
        target_NR = torch.from_numpy(train.response_NR).to(torch.complex64)
        return _model(solve @ target_NR, "complex", mean_F, scale, field=field)
    heads: tuple[Head, ...] = ("modulus", "intensity") if detector == "auto" else (detector,)
    checked_NK = _design((features_of_validation - mean_F) / scale, field=field)
    wanted_NR = torch.from_numpy(validation.response_NR).float()
    response_NR = torch.from_numpy(train.response_NR).float()
    best: tuple[float, Head, torch.Tensor] | None = None
    for head in heads:
        matrix_KR = _retrieved(design_NK, response_NR, head, seed)
        error = float((_detected(checked_NK @ matrix_KR, head) - wanted_NR).square().sum())
        if best is None or error < best[0]:
            best = (error, head, matrix_KR)
    assert best is not None
    _, head, matrix_KR = best
    return _model(_polished(design_NK, response_NR, matrix_KR, head), head, mean_F, scale, field=field)


def _design(centred_NF: NDArray[np.float64], *, field: bool) -> torch.Tensor:
    """Return x with a 1 at its end, complex."""
    half = centred_NF.shape[1] // 2
    x_NK: NDArray[Any] = centred_NF[:, :half] + 1j * centred_NF[:, half:] if field else centred_NF
    return torch.from_numpy(np.concatenate((x_NK, np.ones((len(x_NK), 1))), axis=1)).to(torch.complex64)


def _least_squares(design_NK: torch.Tensor) -> torch.Tensor:
    """Return the matrix that turns fields into the least-squares transfer matrix, shape `(K, N)`."""
    adjoint_KN = design_NK.conj().T.to(torch.complex128)
    gram_KK = adjoint_KN @ design_NK.to(torch.complex128)
    ridge_K = torch.full((len(gram_KK),), _RIDGE * len(design_NK), dtype=gram_KK.dtype)
    ridge_K[-1] *= 1e-3  # b is no part of the medium, and may be large
    solved: torch.Tensor = torch.linalg.solve(gram_KK + torch.diag(ridge_K), adjoint_KN)
    return solved.to(torch.complex64)


def _retrieved(design_NK: torch.Tensor, response_NR: torch.Tensor, head: Head, seed: int) -> torch.Tensor:
    """Return the best of several retrievals, value by value, shape `(K, R)`."""
    modulus_NR = response_NR.clamp(min=0)
    modulus_NR = modulus_NR.sqrt() if head == "intensity" else modulus_NR
    solve_KN = _least_squares(design_NK)
    generator = torch.Generator().manual_seed(seed)
    size = modulus_NR.square().mean(0).sqrt() / design_NK.shape[1] ** 0.5
    best_KR = torch.zeros((design_NK.shape[1], response_NR.shape[1]), dtype=torch.complex64)
    lowest_R = torch.full((response_NR.shape[1],), float("inf"))
    for _ in range(_STARTS):
        parts = torch.randn((*best_KR.shape, 2), generator=generator)
        matrix_KR = torch.view_as_complex(parts) * size
        matrix_KR[-1] += modulus_NR.mean(0)
        before_KR = matrix_KR
        for turn in range(_TURNS):
            ahead_KR = matrix_KR + turn / (turn + 3) * (matrix_KR - before_KR)
            before_KR, matrix_KR = matrix_KR, solve_KN @ (modulus_NR * torch.sgn(design_NK @ ahead_KR))
        error_R = ((design_NK @ matrix_KR).abs() - modulus_NR).square().sum(0)
        better_R = error_R < lowest_R
        best_KR[:, better_R], lowest_R[better_R] = matrix_KR[:, better_R], error_R[better_R]
    return best_KR


def _polished(design_NK: torch.Tensor, response_NR: torch.Tensor, start_KR: torch.Tensor, head: Head) -> torch.Tensor:
    """Lower the squared error of the response itself."""
    parts = torch.view_as_real(start_KR).clone().requires_grad_()
    norm = (response_NR - response_NR.mean(0)).square().sum().clamp(min=1e-30)
    optimiser = torch.optim.LBFGS(
        [parts], max_iter=_POLISH, history_size=20, line_search_fn="strong_wolfe", tolerance_change=1e-12
    )

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        error: torch.Tensor = (
            _detected(design_NK @ torch.view_as_complex(parts), head) - response_NR
        ).square().sum() / norm
        error.backward()  # type: ignore[no-untyped-call]
        return error

    with torch.enable_grad():
        optimiser.step(loss)  # type: ignore[no-untyped-call]
    found = torch.view_as_complex(parts.detach())
    return found if bool(torch.isfinite(torch.view_as_real(found)).all()) else start_KR


def _detected(field_NR: torch.Tensor, head: Head) -> torch.Tensor:
    power_NR = field_NR.real.square() + field_NR.imag.square()
    return power_NR if head == "intensity" else (power_NR + 1e-24).sqrt()


def _model(matrix_KR: torch.Tensor, head: Head, mean_F: NDArray[np.float64], scale: float, *, field: bool) -> Model:
    """Write the complex matrix as a real one from features to real and imaginary halves."""
    matrix = matrix_KR.numpy().astype(np.complex128)
    weight, bias = matrix[:-1] / scale, matrix[-1]
    real = np.concatenate((weight.real, weight.imag), axis=1)
    if field:
        real = np.concatenate((real, np.concatenate((-weight.imag, weight.real), axis=1)))
    return Model(
        kind="coherent",
        head=head,
        mean_F=mean_F.astype(np.float32),
        maps=((real.astype(np.float32), np.concatenate((bias.real, bias.imag)).astype(np.float32)),),
    )
