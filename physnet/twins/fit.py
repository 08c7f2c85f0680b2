"""Fitting a twin and saying how good it is, on drives that it was not fitted to."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..contracts import SystemSpec
from ..errors import InputError
from ..raw import RawSystem
from .coherent import Detector, fit_coherent
from .linear import fit_linear
from .mlp import fit_mlp
from .model import KINDS, Evaluator, Kind, Model, features, has_field
from .pairs import Pairs


@dataclass(frozen=True, kw_only=True)
class TwinReport:
    """How good a twin is.

    Args:
        error: Root mean square error on held-out rows, in parts of the responses' spread about the training mean: 0 for
            a perfect twin without noise, 1 for one that knows no more than the mean.
        noise_floor: The same of the system against itself, from drives that were repeated: no twin can do better. NaN
            where none was repeated.
        rows: Rows used.
        drives: Different drives among them.
        repeats: Rows beyond the first of their drive.
        held_out_rows: Rows that the error is measured on; none of their drives was fitted to.
        left_out: Rows left out for want of memory.
        seconds: Duration of the fit, in s.
    """

    error: float
    noise_floor: float
    rows: int
    drives: int
    repeats: int
    held_out_rows: int
    left_out: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain values; what is not known is null."""
        return {name: None if isinstance(v, float) and math.isnan(v) else v for name, v in asdict(self).items()}


@dataclass(frozen=True, kw_only=True, eq=False)
class Twin:
    """A fitted twin.

    Args:
        model: The numbers.
        spec: Spec of the system that it stands in for.
        system: Name of that system in its run.
        report: How good it is.
        source: Where the rows came from: plain values.
    """

    model: Model
    spec: SystemSpec
    system: str
    report: TwinReport
    source: dict[str, Any]


def fit_twin(
    raw: RawSystem,
    pairs: Pairs,
    kind: Kind,
    *,
    seed: int = 0,
    detector: Detector = "auto",
    source: dict[str, Any] | None = None,
) -> Twin:
    """Fit a twin to the raw data of a run.

    Args:
        raw: The raw data.
        pairs: Their rows, from `load_pairs`.
        kind: `linear`, `coherent` or `mlp`.
        seed: Of whatever is random.
        detector: For `coherent`: what the detector takes.
        source: Where the rows came from, for the file.

    Raises:
        InputError: There is no such kind.
    """
    return fit_pairs(raw.spec, pairs, kind, system=raw.name, seed=seed, detector=detector, source=source)


def fit_pairs(
    spec: SystemSpec,
    pairs: Pairs,
    kind: Kind,
    *,
    system: str,
    seed: int = 0,
    detector: Detector = "auto",
    source: dict[str, Any] | None = None,
) -> Twin:
    """Fit a twin to drives and responses, wherever they come from.

    Args:
        spec: What the system says of itself.
        pairs: The rows.
        kind: `linear`, `coherent` or `mlp`.
        system: Name of the system.
        seed: Of whatever is random.
        detector: For `coherent`: what the detector takes.
        source: Where the rows came from.

    Raises:
        InputError: There is no such kind.
    """
    began = time.perf_counter()
    train_NF, validation_NF = _features(spec, pairs.train.drive), _features(spec, pairs.validation.drive)
    parts = (train_NF, pairs.train, validation_NF, pairs.validation)
    match kind:
        case "linear":
            model = fit_linear(*parts)
        case "coherent":
            model = fit_coherent(*parts, field=has_field(spec.drive), detector=detector, seed=seed)
        case "mlp":
            model = fit_mlp(*parts, seed=seed)
        case _:
            raise InputError(f"kind of a twin must be one of {', '.join(KINDS)}, got {kind!r}.")
    seconds = time.perf_counter() - began
    held = pairs.held_out
    with torch.no_grad():
        found_NR = Evaluator(model, spec.drive)(torch.from_numpy(_native(held.drive))).numpy()
    spread = float(np.square(np.abs(held.response_NR - pairs.train.response_NR.mean(axis=0))).mean()) or 1e-30
    error = float(np.square(np.abs(found_NR - held.response_NR)).mean())
    report = TwinReport(
        error=math.sqrt(error / spread),
        noise_floor=math.sqrt(pairs.noise / spread) if pairs.repeats else math.nan,
        rows=pairs.rows,
        drives=pairs.drives,
        repeats=pairs.repeats,
        held_out_rows=len(held),
        left_out=pairs.left_out,
        seconds=seconds,
    )
    return Twin(model=model, spec=spec, system=system, report=report, source=source or {})


def _features(spec: SystemSpec, drive: NDArray[Any]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = features(spec.drive, torch.from_numpy(_native(drive))).numpy().astype(np.float64)
    return found


def _native(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
