"""Cases of the validation, one module or two a medium: what `validation.py` writes down, and what the tests demand."""

from __future__ import annotations

from dataclasses import dataclass

from . import (
    acoustic,
    acoustic_absorber,
    diode_network,
    dipoles,
    electronic_node,
    fibre,
    mesh,
    paths,
    scattering,
    waveguide,
)
from .outcome import Case


@dataclass(frozen=True, kw_only=True)
class Medium:
    """A page of the validation.

    Args:
        page: Name of the page's file and of its figures.
        title: Of the page.
        about: What is validated, and how it is computed: a sentence or two.
        cases: In the order of the page.
    """

    page: str
    title: str
    about: str
    cases: tuple[Case, ...]


MEDIA = (
    Medium(
        page="acoustic",
        title="Acoustic cavity",
        about="A scalar wave in two dimensions: leap-frog in time, central differences of order 2 or 4 in space, "
        "convolutional absorbing layers. In double precision where rounding decides, by the plain torch solver.",
        cases=acoustic.CASES + acoustic_absorber.CASES,
    ),
    Medium(
        page="programmable-cavity",
        title="Programmable cavity",
        about="Coupled dipoles in two dimensions as walls, scatterers, antennas and elements of a metasurface, and the "
        "equivalent multiport.",
        cases=dipoles.CASES,
    ),
    Medium(
        page="multimode-fibre",
        title="Multimode fibre",
        about="Scalar modes of a step-index or a graded fibre, random coupling, and the multimode nonlinear "
        "Schroedinger equation. In double precision but for speckle.",
        cases=fibre.CASES,
    ),
    Medium(
        page="waveguide",
        title="Nonlinear waveguide",
        about="The nonlinear Schroedinger equation of a single mode: symmetric splitting of order 2, its Richardson "
        "extrapolation of order 4. In double precision but for the compiled solver.",
        cases=waveguide.CASES,
    ),
    Medium(
        page="scattering",
        title="Scattering medium",
        about="A random transmission matrix between a modulator and a camera that takes moduli or intensities, and may "
        "count photoelectrons. In single precision.",
        cases=scattering.CASES,
    ),
    Medium(
        page="electronic-node",
        title="Electronic node",
        about="One nonlinear element with a low pass and a delay, in the forms of Ikeda and of Mackey and Glass.",
        cases=electronic_node.CASES,
    ),
    Medium(
        page="diode-network",
        title="Diode network",
        about="Resistors, capacitors and diodes, integrated by an L-stable Runge-Kutta method of order 2.",
        cases=diode_network.CASES,
    ),
    Medium(
        page="mach-zehnder",
        title="Mach-Zehnder mesh",
        about="Interferometers of two couplers and two phase shifters, as a rectangle (Clements) or a triangle (Reck).",
        cases=mesh.CASES,
    ),
    Medium(
        page="fast-paths",
        title="Fast paths",
        about="Whatever is computed in a fast way is computed in a plain one as well, and on a GPU where there is one.",
        cases=paths.CASES,
    ),
)
"""All pages."""
