"""Cases of the scattering medium: Gaussian field, speckle contrast, kernel of its random features, shot noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from scipy import stats

from physnet.allowed_drives import random_drives
from physnet.simulators.camera import Camera
from physnet.simulators.scattering import ScatteringMedium

from .outcome import Case, Check, Outcome, error_check

PIXELS = 20_000
SPREAD = 5.0  # standard errors; the seeds are fixed, so that a case that holds once holds always


def respond(medium: ScatteringMedium, drive: torch.Tensor) -> torch.Tensor:
    """Return responses in double precision, shape `(n, responses)`."""
    response = medium.measure(drive, np.arange(len(drive), dtype=np.int64)).response
    return torch.as_tensor(response).double()


def drives(medium: ScatteringMedium, rows: int) -> torch.Tensor:
    """Return random drives that the medium allows."""
    return torch.as_tensor(random_drives(medium.spec, rows=rows))


def gaussian_field() -> Outcome:
    """The field behind a thick medium is circular Gaussian: two equal, independent normal parts.

    Then the modulus follows Rayleigh's distribution and the intensity falls off exponentially (J. W. Goodman, Speckle
    Phenomena in Optics, chapter 3).
    """
    medium = ScatteringMedium(drives=64, responses=PIXELS, seed=3)
    drive = drives(medium, 1)
    sigma = float(drive.square().mean() / 2) ** 0.5
    field = (medium.matrix.to(torch.complex128) @ drive[0].to(torch.complex128)).numpy() / sigma
    modulus = respond(medium, drive)[0].numpy() / sigma
    limit = 1.95 / math.sqrt(PIXELS)
    chance = "Kolmogorov-Smirnov: 1.95 / sqrt(n), exceeded by chance in 1 of 1000 draws; the seed is fixed"
    tests = {
        "real part with the normal distribution": stats.kstest(field.real, "norm"),
        "imaginary part with the normal distribution": stats.kstest(field.imag, "norm"),
        "modulus on the camera with Rayleigh's": stats.kstest(modulus, "rayleigh"),
        "square of it with the exponential one": stats.kstest(modulus**2 / 2, "expon"),
    }
    checks = [
        error_check(f"{what}, largest distance", measured=float(found.statistic), tolerance=limit, because=chance)
        for what, found in tests.items()
    ]
    checks.append(
        error_check(
            "mean of the field's square over that of its modulus: circular", measured=abs(np.mean(field**2)) / 2,
            tolerance=SPREAD / math.sqrt(PIXELS), because="5 standard errors of 1 / sqrt(n)",
        )
    )  # fmt: skip

    def draw(axes: Axes) -> None:
        x = np.linspace(0, 5, 200)
        axes.hist(modulus, bins=50, density=True, color="0.8", label=f"{PIXELS} pixels")
        axes.plot(x, stats.rayleigh.pdf(x), "k", label="Rayleigh")
        axes.set(xlabel="modulus / standard deviation of a part", ylabel="density")
        axes.legend()

    return Outcome(checks=tuple(checks), draw=draw, caption="Modulus of the field on the camera.")


def speckle_contrast() -> Outcome:
    """Standard deviation over mean of the intensity is 1, and 1 / sqrt(M) where M pixels are pooled (Goodman, 4.1)."""
    pools, count = (1, 4, 16, 64), 2000
    checks, found = [], []
    for pooling in pools:
        medium = ScatteringMedium(drives=32, responses=count, camera="intensity", pooling=pooling)
        value = respond(medium, drives(medium, 1))
        found.append(float(value.std() / value.mean()))
        error = ((1 + 1 / pooling) / 2 / count) ** 0.5  # of a Gamma variable's contrast, by its fourth moments
        checks.append(
            Check(
                compared=f"contrast with {pooling} pixels pooled", claim=pooling**-0.5, measured=found[-1],
                tolerance=SPREAD * error * pooling**-0.5,
                because="5 standard errors of a Gamma variable of order M: sqrt((1 + 1 / M) / 2 n) of it, n = 2000",
            )
        )  # fmt: skip

    def draw(axes: Axes) -> None:
        axes.loglog(pools, np.array(pools) ** -0.5, "k", linewidth=1, label="$1 / \\sqrt{M}$")
        axes.loglog(pools, found, "o", label="medium and camera")
        axes.set_xticks(pools, [str(pool) for pool in pools])
        axes.set_yticks([0.125, 0.25, 0.5, 1], ["1/8", "1/4", "1/2", "1"])
        axes.minorticks_off()
        axes.set(xlabel="pixels pooled", ylabel="contrast")
        axes.legend()

    return Outcome(checks=tuple(checks), draw=draw, caption="Speckle contrast by pooling.")


def kernel_of_the_random_features() -> Outcome:
    """Products of intensities, averaged over pixels, are the kernel |x|^2 |y|^2 + <x, y>^2 of their drives.

    This is what makes the medium a random feature map (A. Saade et al., arXiv:1510.06664).
    """
    medium = ScatteringMedium(drives=32, responses=PIXELS, camera="intensity", signed=True)
    first, other = drives(medium, 2)
    other = other - (other @ first) / (first @ first) * first  # orthogonal: the angle is ours to choose
    other *= first.norm() / other.norm()
    angles = np.linspace(0, math.pi / 2, 7)
    turned = torch.stack([math.cos(a) * first + math.sin(a) * other for a in angles])
    turned /= turned.abs().max()
    intensity = respond(medium, turned)
    measured = (intensity[0] * intensity).mean(1).numpy() * 32**2
    exact = (turned[0].square().sum() * turned.square().sum(1) + (turned @ turned[0]).square()).double().numpy()
    checks = [
        Check(
            compared=f"kernel at an angle of {math.degrees(a):.0f} degrees over |x|^2 |y|^2", claim=e / exact[-1],
            measured=m / exact[-1], tolerance=SPREAD * 2.3 / PIXELS**0.5 * e / exact[-1],
            because="5 standard errors: the product of two exponential variables deviates by 2.3 of its mean at most",
        )
        for a, m, e in zip(angles[::2], measured[::2], exact[::2], strict=True)
    ]  # fmt: skip

    def draw(axes: Axes) -> None:
        line = np.linspace(0, math.pi / 2, 100)
        axes.plot(np.degrees(line), 1 + np.cos(line) ** 2, "k", linewidth=1, label="$1 + \\cos^2$ of the angle")
        axes.plot(np.degrees(angles), measured / exact[-1], "o", label=f"mean over {PIXELS} pixels")
        axes.set(xlabel="angle between the drives / degree", ylabel="kernel / $|x|^2 |y|^2$")
        axes.legend()

    return Outcome(checks=tuple(checks), draw=draw, caption="Kernel between two drives of equal length.")


def shot_noise() -> Outcome:
    """Photoelectrons are counted: mean and variance are both the expected number, dark ones included.

    A modulus, the root of the counts, then has a noise of 1 / (2 sqrt(e)) that does not depend on the light.
    """
    per_unit, dark = 100.0, 2.0
    checks, points = [], []
    for intensity in (0.02, 0.5, 4.0, 30.0):
        counts = per_unit * intensity + dark
        value = _exposed(intensity, modulus=False, photoelectrons=per_unit, dark_counts=dark) * per_unit
        mean, variance = float(value.mean()), float(value.var())
        points.append((counts, variance))
        checks += [
            Check(
                compared=f"mean of the counts where {counts:g} are expected", claim=counts, measured=mean,
                tolerance=SPREAD * (counts / PIXELS) ** 0.5 + 5e-6 * counts,
                because="5 standard errors sqrt(m / n); what the tables of the draw miss of the mean, 5e-6",
            ),
            Check(
                compared=f"variance of the counts where {counts:g} are expected", claim=counts, measured=variance,
                tolerance=SPREAD * ((counts + 2 * counts**2) / PIXELS) ** 0.5 + 2e-4 * counts,
                because="5 standard errors sqrt((m + 2 m^2) / n); what the tables miss of the variance, 2e-4",
            ),
        ]  # fmt: skip
    for intensity in (2.0, 10.0):
        value = _exposed(intensity, modulus=True, photoelectrons=per_unit)
        checks.append(
            Check(
                compared=f"deviation of the modulus at {per_unit * intensity:g} counts, in 1 / (2 sqrt(e))", claim=1.0,
                measured=float(value.std()) * 2 * per_unit**0.5,
                tolerance=SPREAD / (2 * PIXELS) ** 0.5 + 0.4 / (per_unit * intensity),
                because="5 standard errors 1 / sqrt(2 n); the next term of the root, 3 / (16 m), twice",
            )
        )  # fmt: skip

    def draw(axes: Axes) -> None:
        line = np.geomspace(2, 5000, 50)
        axes.loglog(line, line, "k", linewidth=1, label="variance = mean")
        axes.loglog(*zip(*points, strict=True), "o", label=f"variance over {PIXELS} pixels")
        axes.set(xlabel="expected photoelectrons", ylabel="variance of the counts")
        axes.legend()

    return Outcome(checks=tuple(checks), draw=draw, caption="Photon transfer: variance against mean.")


def _exposed(intensity: float, **options: Any) -> torch.Tensor:
    """Return what many pixels read of the same intensity."""
    camera = Camera(pooling=1, **options)
    field = torch.full((1, 2 * PIXELS), (intensity / 2) ** 0.5)
    return camera.expose(field, np.array([7], dtype=np.int64))[0][0].double()


CASES: tuple[Case, ...] = (gaussian_field, speckle_contrast, kernel_of_the_random_features, shot_noise)
