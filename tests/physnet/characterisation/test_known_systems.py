"""What is known of a system is found: law, mixing, sign, rank, noise, memory, drift, saturation."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray

import physnet
from physnet.characterisation import Characterisation, characterise
from physnet.contracts import Passes, PhysicalSystem, Reading, SystemSpec
from physnet.passes import Purpose, pass_numbers
from physnet.port import Port
from physnet.simulators.drift import Drift
from physnet.simulators.impairments import Impaired
from physnet.simulators.scattering import ScatteringMedium

DRIVES, RESPONSES = 12, 16
MATRIX = np.random.default_rng(5).normal(size=(DRIVES, RESPONSES))
Array = NDArray[Any]


def linear(function: Callable[[Array], Array] | None = None, **options: Any) -> PhysicalSystem:
    """A system made of a function of `drive @ MATRIX`, the identity when None."""
    made: PhysicalSystem = physnet.system(
        lambda drive: drive @ MATRIX if function is None else function(drive @ MATRIX),
        **{"drives": DRIVES, "responses": RESPONSES, "drive_range": (-1.0, 1.0), "name": "linear", **options},
    )
    return made


class Lingering:
    """A linear system in which a share of every response is still there in the next."""

    def __init__(self, share: float) -> None:
        self._share, self._last = share, np.zeros(RESPONSES)
        self._inner = linear(stateful=True)

    @property
    def spec(self) -> SystemSpec:
        return self._inner.spec

    def measure(self, drive: Array, passes: Passes) -> Reading:
        rows = []
        for response in drive @ MATRIX:
            self._last = response + self._share * self._last
            rows.append(self._last)
        return Reading(response=np.array(rows))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def measured(system: PhysicalSystem, *, passes: int = 2000, seed: int = 0) -> Characterisation:
    with system:
        return characterise(system, passes=passes, seed=seed)


def said(found: Characterisation) -> str:
    return " ".join(found.sentences)


@pytest.mark.parametrize(("camera", "degree"), [("modulus", 1), ("intensity", 2)])
def test_a_camera_behind_a_scattering_medium_is_even_mixes_and_has_its_degree(camera: Any, degree: int) -> None:
    found = measured(ScatteringMedium(drives=DRIVES, responses=RESPONSES, signed=True, camera=camera))
    # Noiseless in float32: the slope of logarithms of values rounded to 2^-24, with 32 roundings allowed, over ln 5.6.
    assert abs(found["degree"].value - degree) < 32 * 2.0**-24 * 3
    assert not found["degree_change"].resolved
    assert not found["shape_change"].resolved
    assert found["mixing"].resolved
    assert found["mixing_pairs"].resolved
    # |a + b|^2 - |a|^2 - |b|^2 = 2 Re(a b*): its mean square over circular Gaussian media is 2 A B beside A^2 + B^2
    # and (for intensities 2 A^2, each exponential) a ratio of sqrt(2/4) to 1; a few media and drives give +- 0.3.
    assert 0.4 < found["mixing"].value < 1.3
    assert found["even_part"].resolved
    assert not found["odd_part"].resolved
    assert found["odd_part"].floor < 1e-5
    assert "loses the common sign" in said(found)


def test_a_linear_system_is_homogeneous_of_degree_one_and_mixes_nothing() -> None:
    found = measured(linear())
    # float64: rounding only, as above with 2^-53.
    assert abs(found["degree"].value - 1) < 1e-13
    for name in ("mixing", "mixing_pairs", "even_part", "memory", "drift", "wander", "noise", "degree_change"):
        assert not found[name].resolved, name
        assert found[name].floor < 1e-12 or name == "noise"
    assert found["rank"].value == DRIVES
    assert "can't compute products" in said(found)


def test_a_noisy_linear_system_is_still_of_degree_one_within_its_error() -> None:
    found = measured(Impaired(linear(), noise=0.03))
    # Five standard errors: once in 1.7 million for a normal error; 22 degrees of freedom make it once in 20 000.
    assert abs(found["degree"].value - 1) < 5 * found["degree"].error
    assert found["degree"].error < 0.01
    assert "can't compute products" in said(found)


@pytest.mark.parametrize("modes", [1, 3, 7])
def test_the_rank_of_a_linear_medium_of_k_modes_is_k(modes: int) -> None:
    random = np.random.default_rng(modes)
    matrix = random.normal(size=(DRIVES, modes)) @ random.normal(size=(modes, RESPONSES))
    for noise in (0.0, 0.02):
        system: PhysicalSystem = physnet.system(
            lambda drive: drive @ matrix, drives=DRIVES, responses=RESPONSES, drive_range=(-1.0, 1.0)
        )
        found = measured(Impaired(system, noise=noise), seed=modes)
        assert found["rank"].value == modes
        # Between one mode and all of them, to the rounding of the estimate or its error.
        assert (
            1 - 1e-9 - 5 * found["participation_ratio"].error
            < found["participation_ratio"].value
            <= modes + 1e-9 + 5 * found["participation_ratio"].error
        )
        assert f"has {modes} of {RESPONSES} dimensions" in said(found)


def test_a_rank_that_the_passes_do_not_reach_is_given_as_a_lower_bound() -> None:
    found = measured(ScatteringMedium(drives=60, responses=300), passes=800)
    assert "at least" in found["rank"].about
    assert "at least" in said(found)
    assert found["rank"].value <= 800 * 0.4 / 2


@pytest.mark.parametrize("noise", [0.01, 0.1])
def test_the_noise_that_was_put_in_is_found(noise: float) -> None:
    found = measured(Impaired(linear(), noise=noise))
    # `noise` is relative to each row's RMS, so noise over response is `noise` in the mean square, up to noise^2 that
    # the noise adds to the response. About 180 couples of 16 channels: a relative error of 1 / sqrt(2 * 2900) = 1.3 %,
    # and that of weighting rows by their power, 3 % with a spread of 0.4 in power. Five of them.
    assert found["relative_noise"].value == pytest.approx(noise / np.sqrt(1 + noise**2), rel=0.15)
    assert abs(found["relative_noise"].value - noise) < 5 * found["relative_noise"].error + noise**3
    # The mean response to drives of both signs is zero, so that signal / noise is 1 / noise.
    assert found["snr"].value == pytest.approx(1 / noise, abs=5 * found["snr"].error)
    assert len(found.traces["snr_per_channel"].values) == RESPONSES


def test_a_steady_drift_is_found_with_its_rate_and_a_still_system_does_not_drift() -> None:
    # The gain grows by 0.05 per s, a row takes 1 ms: 5 % of the first response per 1000 passes; over the mean response
    # of 2000 passes, at the gain 1.05, that is 4.76 %. A row of 3 % noise over 16 channels, 240 of them: 0.03 / 4 /
    # sqrt(240) / (577 passes of spread) * 1000 = 0.08 %. The stated error, five times.
    moving = Impaired(linear(), noise=0.03, gain_drift=Drift(rate=0.05), seconds_per_pass=1e-3)
    found = measured(moving)
    for name in ("drift", "gain_drift"):
        assert found[name].resolved
        assert found[name].value == pytest.approx(0.05 / 1.05, abs=5 * found[name].error)
        assert found[name].error < 0.002
    assert not found["wander"].resolved
    assert "random play order" in said(found)
    still = measured(Impaired(linear(), noise=0.03))
    assert not still["drift"].resolved
    assert not still["wander"].resolved
    assert still["drift"].floor < 0.01
    # The same drift leaves the other answers alone.
    assert not found["mixing"].resolved
    assert not found["memory"].resolved


def test_a_rotation_of_the_medium_drifts_without_a_change_of_gain() -> None:
    # cos(a) T + sin(a) T' at 0.1 rad/s: 2000 passes of 1 ms turn by 0.2 rad, so that a modulus moves by about
    # 0.1 / sqrt(2) of its own RMS per 1000 passes (half of a change perpendicular to the field is in its phase).
    found = measured(Impaired(ScatteringMedium(drives=DRIVES, responses=64, turn=Drift(rate=0.1)), noise=0.01))
    assert found["drift"].resolved
    assert found["drift"].value == pytest.approx(
        0.1 / np.sqrt(2), rel=0.25
    )  # 64 pixels, three drives: 1/sqrt(96), 2.5x
    assert abs(found["gain_drift"].value) < 0.5 * found["drift"].value


def test_a_response_that_comes_and_goes_is_said_to_wander() -> None:
    swing = Drift(profile="sine", amplitude=0.05, period=0.7)
    found = measured(Impaired(linear(), noise=0.02, gain_drift=swing, seconds_per_pass=1e-3))
    assert found["wander"].resolved
    assert "wanders" in said(found)


@pytest.mark.parametrize("share", [0.02, 0.2])
def test_a_system_that_remembers_is_found_to_with_the_share_that_stays(share: float) -> None:
    found = measured(Impaired(Lingering(share), noise=0.01))
    # The row before the strong one is a probe, before the weak one as well: the share stays as it is, to share^2.
    assert found["memory"].resolved
    assert found["memory"].value == pytest.approx(share, abs=share**2 + 5 * found["memory"].error)
    assert "remembers" in said(found)
    if share < 0.1:
        # No row follows one that it is compared with, so that memory is taken neither for mixing nor for a bend.
        assert not found["mixing"].resolved
        assert abs(found["degree"].value - 1) < 5 * found["degree"].error


def test_a_system_without_memory_has_none() -> None:
    found = measured(Impaired(linear(), noise=0.01))
    assert not found["memory"].resolved
    assert found["memory"].floor < 0.01


def test_saturation_bends_the_law_and_is_told_as_compression() -> None:
    found = measured(Impaired(linear(lambda y: 2 * np.tanh(y / 2)), noise=0.01))
    assert found["compression"].resolved
    assert found["compression"].value > 0.05
    assert found["degree_change"].value < 0
    assert found["mixing"].resolved
    assert "saturates" in said(found)
    assert not found["clipped_rows"].resolved


def test_clipping_is_seen_in_flags_and_at_the_end_of_the_scale() -> None:
    found = measured(Impaired(linear(), noise=0.01, full_scale=2.0, adc_bits=8))
    assert found["clipped_rows"].resolved
    assert found["values_at_the_end"].resolved
    # 255 steps from -2 to 2.
    assert found["step"].value == pytest.approx(4 / 255, rel=1e-6)
    assert "clipped" in said(found)


@pytest.mark.parametrize(("function", "mixes"), [(None, False), (lambda y: y * np.abs(y), True)])
def test_complex_responses_are_taken_with_their_phase(function: Callable[[Array], Array] | None, mixes: bool) -> None:
    rotated = np.exp(1j * np.arange(RESPONSES))
    system = linear(
        lambda y: (y if function is None else function(y)) * rotated, dtype="float64", response_dtype="complex128"
    )
    found = measured(Impaired(system, noise=0.01))
    assert found["relative_noise"].value == pytest.approx(0.01, rel=0.15)
    # Five standard errors, as above.
    assert abs(found["degree"].value - (2 if mixes else 1)) < 5 * found["degree"].error
    assert found["mixing"].resolved is mixes
    assert not found["even_part"].resolved


def test_a_binary_drive_is_neither_scaled_nor_mirrored_and_the_passes_go_elsewhere() -> None:
    found = measured(linear(np.abs, domain="binary", drive_range=(0.0, 1.0)))
    assert not found["degree"].resolved
    assert found["mixing"].resolved
    assert len(found.notes) == 2
    assert sum(found.plan.values()) == 2000


def test_a_dead_system_is_told_so() -> None:
    found = measured(linear(lambda y: 0 * y))
    assert found["rank"].value == 0
    assert not any(quantity.resolved for name, quantity in found.quantities.items())


def test_a_single_drive_and_a_single_response_are_enough() -> None:
    system: PhysicalSystem = physnet.system(lambda drive: drive**2, drives=1, responses=1, drive_range=(-1.0, 1.0))
    found = measured(Impaired(system, noise=0.01))
    assert abs(found["degree"].value - 2) < 5 * found["degree"].error
    assert found["rank"].value == 1
    assert not found["mixing"].resolved
    assert found["even_part"].resolved


def test_no_drive_leaves_the_range_or_the_joint_limits_and_passes_are_counted() -> None:
    inner = linear(max_batch=50)
    seen: list[Array] = []

    class Watched:
        spec = SystemSpec(
            name="watched",
            kind="simulated",
            drive=physnet.DriveSpec(shape=(DRIVES,), low=-1.0, high=1.0, max_rms=0.4, max_slew=0.9),
            response=inner.spec.response,
            max_batch=50,
        )

        def measure(self, drive: Array, passes: Passes) -> Reading:
            seen.append(drive.copy())
            return inner.measure(drive, passes)

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *error: object) -> None:
            return None

    found = measured(Watched(), passes=900)
    drives = np.concatenate(seen)
    assert len(drives) == found.count.passes == sum(found.plan.values()) == 900
    assert np.abs(drives).max() <= 1
    # The port's own allowance for rounding, drives.py.
    assert np.sqrt(np.mean(drives**2, axis=1)).max() <= 0.4 * (1 + 2.0**-22)
    assert np.abs(np.diff(drives, axis=1)).max() <= 0.9 * (1 + 2.0**-22)
    assert max(map(len, seen)) <= 50
    assert abs(found["degree"].value - 1) < 1e-12


def test_the_port_keeps_the_order_for_calibration_alone() -> None:
    order: list[float] = []

    def note(drive: Array) -> Array:
        order.extend(drive[:, 0].tolist())
        return drive

    system = physnet.system(note, drives=1, responses=1)
    port = Port(system, chunk=7)
    rows = np.linspace(0, 1, 20)[:, None]
    calibrate = pass_numbers(Purpose.CALIBRATE, rows=20)
    train = pass_numbers(Purpose.TRAIN, rows=20)
    port.measure(rows, calibrate, ordered=True)
    assert order == rows[:, 0].tolist()
    with pytest.raises(physnet.InputError, match="calibration only"):
        port.measure(rows, train, ordered=True)
    assert len(order) == 20
