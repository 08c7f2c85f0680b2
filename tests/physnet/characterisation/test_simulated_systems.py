"""What is found of every simulated system is what its spec says of it: where it is nonlinear, memory, drift."""

from __future__ import annotations

from typing import Any

import pytest

from physnet import registry
from physnet.characterisation import DEFAULT, FEWEST, Characterisation, characterise
from physnet.contracts import PhysicalSystem, SystemSpec
from physnet.simulators.drift import Drift
from physnet.simulators.impairments import Impaired

SYSTEMS = sorted(
    entry.name for entry in registry.installed("physnet.systems") if entry.value.startswith("physnet.simulators.")
)
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("acoustic", {"response": "lock_in", "tones": (1000.0, 1600.0)}),
    ("diode_network", {"diodes": 0}),
    ("electronic_node", {"form": "mackey_glass", "feedback": 2.0, "signed": True}),
    ("mach_zehnder", {"modulator": "phase"}),
    ("multimode_fibre", {"modes": 6, "signed": True, "peak_power": 5e6, "length": 0.01}),
    ("nonlinear_waveguide", {"modulator": "amplitude"}),
    ("nonlinear_waveguide", {"modulator": "amplitude", "gamma": 0.0}),
    ("programmable_cavity", {"control": "continuous"}),
    ("scattering", {"camera": "intensity", "signed": True}),
    ("scattering", {"passes_through": 2}),
]
"""Options that put the nonlinearity elsewhere, or nowhere."""
DEGREES = {"acoustic": 2, "mach_zehnder": 2, "multimode_fibre": 2, "nonlinear_waveguide": 2, "scattering": 1}
"""Of the detectors: energies, powers and intensities are squares, the usual camera of the scattering medium is not."""
# Of a slope of logarithms over ln 5.6, of responses that are rounded to 2^-24 and sum 12 drives: 32 roundings allowed.
ROUNDING = 32 * 2.0**-24 * 3


def made(name: str, **options: Any) -> PhysicalSystem:
    system: PhysicalSystem = registry.find("systems", name)(drives=12, responses=20, **options)
    return system


def found_of(system: PhysicalSystem, *, passes: int = DEFAULT) -> Characterisation:
    with system:
        return characterise(system, passes=passes)


def check_law(found: Characterisation, spec: SystemSpec, degree: int) -> None:
    said = " ".join(found.sentences)
    if not spec.nonlinearity:
        assert abs(found["degree"].value - 1) < ROUNDING
        for name in ("mixing", "mixing_pairs", "even_part", "degree_change", "shape_change", "compression"):
            assert not found[name].resolved, name
        assert "can't compute products" in said
        return
    assert found["mixing"].resolved
    assert "Drives mix" in said
    if spec.drive.domain == "binary":
        assert not found["degree"].resolved  # nothing to scale
    elif spec.nonlinearity == {"detector"}:
        assert abs(found["degree"].value - degree) < ROUNDING
        for name in ("degree_change", "shape_change", "compression"):
            assert not found[name].resolved, name
        assert f"is homogeneous of degree {degree}" in said
    else:
        # A medium that is no power of the drive bends the law, or changes the pattern, or both.
        assert found["degree_change"].resolved or found["shape_change"].resolved
        assert "is no power of the drive" in said


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_with_defaults_is_found_to_be_what_its_spec_says(name: str) -> None:
    system = made(name)
    found = found_of(system)
    check_law(found, system.spec, DEGREES.get(name, 0))
    assert system.spec.repeatable and not system.spec.stateful
    for quantity in ("noise", "memory", "drift", "wander"):
        assert not found[quantity].resolved, quantity
    assert "No memory" in " ".join(found.sentences)
    assert "No drift" in " ".join(found.sentences)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_where_the_nonlinearity_is_follows_the_options(name: str, options: dict[str, Any]) -> None:
    system = made(name, **options)
    degree = 2 if options.get("camera") == "intensity" else DEGREES.get(name, 0)
    check_law(found_of(system), system.spec, degree)


def test_the_variants_show_linear_systems_detectors_and_media() -> None:
    kinds = {frozenset(made(name, **options).spec.nonlinearity) for name, options in VARIANTS}
    assert kinds == {frozenset(), frozenset({"detector"}), frozenset({"medium"}), frozenset({"medium", "detector"})}


def test_few_passes_claim_no_law_that_they_can_not_tell() -> None:
    found = found_of(made("nonlinear_waveguide"), passes=FEWEST)
    # Phases of a pulse that a Kerr medium mixes: no power law, and these passes don't resolve how far it is from one.
    assert not found["degree_change"].resolved and found["degree_change"].floor > 0.05
    said = " ".join(found.sentences)
    assert "power of the drive is not resolved" in said
    assert "homogeneous" not in said


def test_a_loop_that_rings_on_into_the_next_row_is_found_to_remember() -> None:
    system = made("electronic_node", memory=True)
    found = found_of(system, passes=FEWEST)
    assert system.spec.stateful
    assert found["memory"].resolved
    assert "It remembers" in " ".join(found.sentences)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("scattering", {"turn": Drift(rate=0.1)}),
        # Few eliminations: the stretch takes 8 values, at one frequency of 20 that are read.
        ("programmable_cavity", {"stretch": Drift(rate=1e-3), "stretch_step": 1e-4, "frequencies": (2.45e9,)}),
    ],
)
def test_a_medium_that_changes_is_found_to_drift(name: str, options: dict[str, Any]) -> None:
    system = made(name, **options)
    found = found_of(system, passes=FEWEST)
    assert system.spec.stateful and not system.spec.repeatable
    assert found["drift"].resolved
    assert not found["memory"].resolved
    assert "drifts by" in " ".join(found.sentences)


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_drift_of_a_gain_is_found_with_its_rate_on_every_system(name: str) -> None:
    drifting = Impaired(made(name), noise=0.01, gain_drift=Drift(rate=0.05), seconds_per_pass=1e-3)
    found = found_of(drifting, passes=FEWEST)
    # 5 % of the first response per 1000 passes of 1 ms; the mean response is taken at the gain 1.02.
    for quantity in ("drift", "gain_drift"):
        assert found[quantity].resolved
        assert found[quantity].value == pytest.approx(0.05 / 1.02, abs=5 * found[quantity].error)
        assert found[quantity].error < 0.005
