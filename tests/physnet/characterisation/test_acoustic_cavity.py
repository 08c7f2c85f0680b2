"""What is known of the acoustic cavity is found: a linear one mixes nothing, its detector mixes, elements bend it."""

from __future__ import annotations

from typing import Any

import pytest

from physnet.characterisation import Characterisation, characterise
from physnet.contracts import PhysicalSystem
from physnet.simulators.acoustic import AcousticCavity
from physnet.simulators.impairments import Impaired

SMALL: dict[str, Any] = {"drives": 12, "responses": 12, "size": (0.4, 0.3), "pitch": 0.02, "scatterers": 2}
SMALL |= {"sources": 4, "tones": (1000.0, 1400.0), "slot": 5e-3, "slot_spacing": 2e-3, "reverberation": 0.02}
ELEMENTS: dict[str, Any] = {"elements": 6, "threshold": 0.02, "stiffness_frequency": 1200.0}
# Of a slope of logarithms over ln 5.6, of responses that are rounded to 2^-24 and sum 12 drives: 32 roundings allowed.
ROUNDING = 32 * 2.0**-24 * 3


def measured(*, noise: float = 0.0, passes: int = 1200, **options: Any) -> Characterisation:
    system: PhysicalSystem = AcousticCavity(**{**SMALL, **options})
    if noise:
        system = Impaired(system, noise=noise)
    with system:
        return characterise(system, passes=passes)


@pytest.mark.parametrize("signed", [True, False])
def test_a_linear_cavity_heard_by_a_lock_in_is_homogeneous_of_degree_one_and_mixes_nothing(signed: bool) -> None:
    found = measured(response="lock_in", signed=signed)
    assert abs(found["degree"].value - 1) < ROUNDING
    # Neither halves of the channels nor single ones, which are amplitudes of either tone on any loudspeaker.
    for name in ("mixing", "mixing_pairs", "degree_change", "shape_change", "compression", "even_part", "memory"):
        assert not found[name].resolved, name
        # What rounding can hide: a mixed difference adds four responses, and a shape is compared at a fifth of full
        # scale, where the same rounding is 5.6 times as much.
        assert found[name].floor < 6 * ROUNDING, name
    assert found["odd_part"].resolved
    # 4 loudspeakers, 2 tones and 2 slots into 6 microphones that tell the tones apart: nothing is lost.
    assert found["rank"].value == 12
    said = " ".join(found.sentences)
    assert "can't compute products" in said
    assert "No drift was seen" in said


@pytest.mark.parametrize("signed", [True, False])
def test_the_energy_that_a_cavity_answers_with_is_of_degree_two_and_mixes(signed: bool) -> None:
    found = measured(response="energy", signed=signed)
    assert abs(found["degree"].value - 2) < ROUNDING
    for name in ("degree_change", "shape_change", "memory", "drift"):
        assert not found[name].resolved, name
    # |a + b|^2 - |a|^2 - |b|^2 = 2 Re(a b*), as for a scattering medium, of tones that don't interfere with each other:
    # between none and all of the energies themselves.
    assert found["mixing"].resolved
    assert 0.3 < found["mixing"].value < 1.3
    assert found["mixing_pairs"].resolved
    assert found["even_part"].resolved
    if signed:
        assert not found["odd_part"].resolved
        assert "loses the common sign" in " ".join(found.sentences)
    else:
        # About the middle of the range, where the drive does have two sides.
        assert found["odd_part"].resolved
        assert "no sign of its own" in " ".join(found.sentences)


@pytest.mark.parametrize(("response", "degree"), [("lock_in", 1), ("energy", 2)])
def test_noise_hides_neither_the_degree_nor_the_mixing_of_a_cavity(response: str, degree: int) -> None:
    found = measured(noise=0.02, response=response, signed=True)
    # Five standard errors.
    assert abs(found["degree"].value - degree) < 5 * found["degree"].error
    assert found["degree"].error < 0.01
    assert found["mixing"].resolved is (response == "energy")
    assert found["relative_noise"].value == pytest.approx(0.02, abs=5 * found["relative_noise"].error)


def test_nonlinear_elements_mix_what_a_lock_in_would_hear_apart() -> None:
    found = measured(response="lock_in", signed=True, **ELEMENTS)
    # A stiffness that saturates: of odd order, and weaker the louder it gets.
    for name in ("mixing", "mixing_pairs", "shape_change", "odd_part"):
        assert found[name].resolved, name
    assert not found["even_part"].resolved
    assert not found["memory"].resolved  # every row begins in silence


def test_a_cavity_that_rings_on_into_the_next_row_is_found_to_remember() -> None:
    # 60 dB in 60 ms; a row takes 7 ms, and its window the last 5 ms of them.
    found = measured(passes=800, response="lock_in", signed=True, memory=True, reverberation=0.06)
    assert found["memory"].resolved
    assert "remembers" in " ".join(found.sentences)
