"""Fibres, light and references that the cases of the multimode fibre are made of.

Axis letters: M modes.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal
from scipy.special import jn_zeros

from physnet.simulators.fibre_kerr import QuadratureKerr
from physnet.simulators.fibre_line import Line, make_line, scales_of
from physnet.simulators.fibre_mode_solver import solve_modes
from physnet.simulators.fibre_modes import Modes
from physnet.simulators.fibre_profile import Fibre
from physnet.simulators.fibre_torch import TorchPropagator

CPU = torch.device("cpu")
N2 = 2.3e-20
WAVELENGTH = 1.55e-6
GRADED: dict[str, Any] = {
    "profile": "graded", "radius": 12.5e-6, "numerical_aperture": 0.2, "wavelength": WAVELENGTH
}  # fmt: skip
STEP = GRADED | {"profile": "step", "radius": 6e-6}
SINGLE = STEP | {"radius": 4.1e-6, "numerical_aperture": 0.12}


def solved(options: dict[str, Any], modes: int | None = None) -> Modes:
    """Return the guided modes of a fibre."""
    return solve_modes(Fibre(**options), modes=modes)


def line(modes: Modes, **options: Any) -> Line:
    """Return a fibre of 5 mm at 300 kW without loss, but for `options`."""
    plain: dict[str, Any] = {
        "length": 5e-3, "attenuation": 0.0, "peak_power": 3e5, "n2": N2, "pulse": None, "step": None,
        "junction_JMM": np.zeros((0, len(modes), len(modes)), complex),
    }  # fmt: skip
    plain |= options
    scales = scales_of(modes, **{name: plain[name] for name in ("length", "peak_power", "n2", "pulse")})
    return make_line(modes, scales, **plain)


def double(cut: Line, modes: Modes, kerr: type[Any] = QuadratureKerr) -> TorchPropagator:
    """Return the plain propagator in double precision."""
    given = modes.factors() if kerr is QuadratureKerr else modes
    return TorchPropagator(cut, kerr(given, dtype=torch.float64, device=CPU), dtype=torch.float64, device=CPU)


def amplitudes(rows: int, modes: int, seed: int = 0) -> torch.Tensor:
    """Return random rows of power 1, shape `(rows, modes, 2)`."""
    drawn = torch.randn(rows, modes, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return drawn / drawn.square().sum((1, 2), keepdim=True).sqrt()


def complexes(end: torch.Tensor) -> NDArray[np.complex128]:
    """Return amplitudes as complex numbers, `(rows, modes, samples)`."""
    return np.asarray(end.double().numpy()[:, :, 0] + 1j * end.double().numpy()[:, :, 1])


def powers(end: torch.Tensor) -> NDArray[np.float64]:
    """Return the power of each row."""
    return np.asarray(end.double().square().sum((1, 2, 3)).numpy())


def radial_betas(fibre: Fibre, azimuthal: int, cells: int = 1500) -> NDArray[Any]:
    """Return guided modes of one azimuthal order by second-order differences along the radius, cladding included."""
    step = 2.2 * fibre.radius / cells
    edge = np.arange(cells + 1) * step
    r = (edge[:-1] + edge[1:]) / 2
    main = (edge[:-1] + edge[1:]) / r / step**2 + azimuthal**2 / r**2 - fibre.wavenumber**2 * fibre.index_squared(r)
    side = -edge[1:-1] / np.sqrt(r[:-1] * r[1:]) / step**2
    bound = -((fibre.wavenumber * fibre.core) ** 2), -((fibre.wavenumber * fibre.cladding) ** 2)
    return np.asarray(np.sqrt(-eigh_tridiagonal(main, side, eigvals_only=True, select="v", select_range=bound)))


def with_v(profile: str, v: float) -> Fibre:
    """Return a fibre of that V number and an aperture of 0.1."""
    radius = v * WAVELENGTH / (2 * math.pi * 0.1)
    return Fibre(profile=profile, radius=radius, numerical_aperture=0.1, wavelength=WAVELENGTH)  # type: ignore[arg-type]


@functools.cache
def cutoffs() -> NDArray[np.float64]:
    """Return V above which each LP mode is guided: zero m of J(l-1) for LP l,m; zero m - 1 of J1 for LP 0,m, first 0.

    Those of l > 0 count twice. All below V = 30.
    """
    found = [np.zeros(1), jn_zeros(1, 10)]
    found += [np.repeat(jn_zeros(azimuthal - 1, 10), 2) for azimuthal in range(1, 30)]
    return np.sort(np.concatenate(found))
