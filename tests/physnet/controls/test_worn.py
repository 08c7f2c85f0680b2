"""What stands in for a system meets every impairment that the system does, as strongly."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import numpy as np
import pytest

from physnet.allowed_drives import random_drives
from physnet.contracts import Cost, PhysicalSystem, Reading
from physnet.controls.bands import BandEnergies
from physnet.controls.substitutes import projection_for
from physnet.controls.worn import bare, dressed
from physnet.errors import MeasurementError
from physnet.passes import Purpose, as_control, pass_numbers
from physnet.simulators.common_gain import MonitorUse
from physnet.simulators.detector_noise import Flicker
from physnet.simulators.drift import Drift
from physnet.simulators.impairments import Impaired
from physnet.simulators.response_mixing import SuddenChange
from physnet.simulators.scattering import ScatteringMedium

DRIVES, RESPONSES, ROWS = 24, 60, 200
SCALE = 300.0


class Loud(ScatteringMedium):
    """Speckle whose intensities have a mean far from that of a projection, at 1 ms a row."""

    def __init__(self, **options: Any) -> None:
        super().__init__(drives=DRIVES, responses=RESPONSES, camera="intensity", seed=3, **options)
        self._loud = dataclasses.replace(super().spec, cost=Cost(per_pass=1e-3))

    @property
    def spec(self) -> Any:
        return self._loud

    def measure(self, drive: Any, passes: Any) -> Reading:
        reading = super().measure(drive, passes)
        return dataclasses.replace(reading, response=reading.response * SCALE)


SIZE = SCALE / 3  # of a response: a drive of uniform numbers from 0 to 1 has a third of the power of the highest
WORN: dict[str, dict[str, Any]] = {
    "noise": {"noise": 0.1},
    "photoelectrons": {"photoelectrons": 20 / SIZE},
    "flicker": {"flicker": Flicker(rms=0.2 * SIZE, lowest=0.1)},
    "gain_drift": {"gain_drift": Drift(rate=1.0)},
    "gain_noise": {"gain_noise": 0.1},
    "monitor": {"gain_noise": 0.1, "monitor": "divide", "monitor_noise": 0.05},
    "monitor_noise": {"monitor": "divide", "monitor_noise": 0.2},
    "rotation_drift": {"rotation_drift": Drift(rate=4.0)},
    "crosstalk": {"crosstalk": 0.2},
    "change": {"change": SuddenChange(epoch=2, share=0.5)},
    "memory": {"memory": 0.3},
    "ac_time": {"ac_time": 0.05},
    "dead": {"dead": 0.2},
    "stuck": {"stuck": 0.2, "full_scale": 4 * SIZE},
    "dac_bits": {"dac_bits": 2},
    "adc_bits": {"adc_bits": 3, "full_scale": 6 * SIZE},
    "full_scale": {"full_scale": SIZE},
    "signed": {"signed": True, "adc_bits": 3, "full_scale": 6 * SIZE},
    "seconds_per_pass": {"gain_drift": Drift(rate=1.0), "seconds_per_pass": 5e-3},
}
"""By option of the impairments; each changes responses by some per cents at least."""


def rows_of(system: PhysicalSystem) -> np.ndarray:
    passes = as_control(pass_numbers(Purpose.TRAIN, epoch=2, rows=ROWS))
    drive = random_drives(Loud().spec, rows=ROWS, seed=8)
    with system:
        reading = system.measure(drive if system.spec.array == "torch" else np.asarray(drive), passes)
    return np.asarray(reading.response, np.float64)


def departure(system: PhysicalSystem, clean: np.ndarray) -> float:
    """RMS of what the impairments add, over the RMS of the responses."""
    found = rows_of(system)[:, : clean.shape[1]]
    return float(np.sqrt(np.mean((found - clean) ** 2) / np.mean(clean**2)))


def test_every_option_of_the_impairments_is_tried_here() -> None:
    options = set(inspect.signature(Impaired).parameters) - {"system", "seed"}
    assert options == set(WORN)


@pytest.mark.parametrize("name", sorted(WORN))
def test_an_impairment_does_to_a_projection_what_it_does_to_the_system(name: str) -> None:
    system = Impaired(Loud(), seed=5, **WORN[name])
    of_system = departure(system, rows_of(Loud()))
    found = projection_for(Impaired(Loud(), seed=5, **WORN[name]), detector="auto", seed=7)
    plain = projection_for(Loud(), detector="auto", seed=7)
    of_projection = departure(found.system, rows_of(plain.system))
    assert found.assumed == ()
    # A wrong unit is wrong by a factor of 100. Both sizes are known from 32 drives of 24 numbers, about 1400 of them
    # independent: 3 %, as is what is left of the difference between two media after 200 rows. Which of the 60
    # channels are struck is chance, and they differ in brightness: for 12 of them by 1 / sqrt(12).
    chance = 2 / np.sqrt(12) if name in ("dead", "stuck", "change") else 0.0
    assert of_system > 0.03
    assert of_projection == pytest.approx(of_system, rel=0.15 + chance)


def test_what_is_told_comes_back_as_it_was_given() -> None:
    worn = {name: value for options in WORN.values() for name, value in options.items()} | {"monitor": "append"}
    system = Impaired(Impaired(Loud(), noise=0.3, seed=1), seed=5, **worn)
    found = projection_for(system, detector="auto", seed=7).system
    told, own = (one.spec.identity["impairments"] for one in (system, found))
    assert own["within"]["noise"] == told["within"]["noise"] == 0.3
    ratio = own["full_scale"] / told["full_scale"]
    # 32 rows of 24 numbers each: about 10 % for the ratio of two RMS; and a tenth more noise within adds alike to both.
    assert ratio == pytest.approx(1 / SIZE / 3, rel=0.3)
    assert own["photoelectrons"] == pytest.approx(told["photoelectrons"] / ratio)
    assert own["flicker"] == {"rms": pytest.approx(told["flicker"]["rms"] * ratio), "lowest": told["flicker"]["lowest"]}
    scaled = {"seed", "within", "full_scale", "photoelectrons", "flicker"}
    assert {k: v for k, v in own.items() if k not in scaled} == {k: v for k, v in told.items() if k not in scaled}


@pytest.mark.parametrize("use", ["append", "divide"])
def test_a_monitor_is_beside_the_projection_as_beside_the_system(use: MonitorUse) -> None:
    system = Impaired(Impaired(Loud(), monitor="append"), gain_noise=0.2, monitor=use)
    found = projection_for(system, detector="auto", seed=7).system
    assert found.spec.response.shape == system.spec.response.shape
    assert bare(system.spec).response.shape == (RESPONSES,)
    response = rows_of(found)
    if use == "append":
        # Its fluctuation alone: 0.2 to the 5 standard errors of a deviation from 200 rows.
        assert response[:, -1].std() / response[:, -1].mean() == pytest.approx(0.2, rel=5 / np.sqrt(2 * ROWS))


def test_a_change_strikes_a_control_when_it_strikes_the_run() -> None:
    system = Impaired(Loud(), change=SuddenChange(epoch=2, step=4, share=1.0))
    found = projection_for(system, detector="auto", seed=7).system
    drive = np.asarray(random_drives(system.spec, rows=3))

    def after(purpose: Purpose, epoch: int, step: int) -> np.ndarray:
        return np.asarray(
            found.measure(drive, as_control(pass_numbers(purpose, epoch=epoch, step=step, rows=3))).response
        )

    before = after(Purpose.TRAIN, 2, 3)
    for purpose, epoch, step in ((Purpose.STANDARDISE, 0, 0), (Purpose.VALIDATE, 2, 9), (Purpose.TRAIN, 0, 9)):
        assert np.array_equal(after(purpose, epoch, step), before)
    changed = after(Purpose.TRAIN, 2, 4)
    assert not np.array_equal(changed, before)
    for purpose, epoch, step in ((Purpose.TEST, 0, 0), (Purpose.VALIDATE, 3, 0)):
        assert np.array_equal(after(purpose, epoch, step), changed)


def test_a_filter_bank_wears_them_too() -> None:
    system = Impaired(Loud(), photoelectrons=20 / SIZE, monitor="append", seed=5)
    bands = BandEnergies(bare(system.spec), rate=8000.0, slices=1)
    found = dressed(bands, system, what="filter bank", seed=7)
    assert found.assumed == () and found.system.spec.response.shape == (RESPONSES + 1,)
    clean = rows_of(BandEnergies(bare(system.spec), rate=8000.0, slices=1))
    noisy = rows_of(found.system)[:, :RESPONSES]
    electrons = found.system.spec.identity["impairments"]["photoelectrons"]
    rms = np.sqrt(np.mean(clean**2))
    # 20 electrons in the mean of the system's exponential intensities are 20 sqrt(2) at their RMS; 10 % of 32 rows.
    assert electrons * rms == pytest.approx(20 * np.sqrt(2), rel=0.5)
    chi2 = np.mean((noisy - clean)[clean > 0] ** 2 / clean[clean > 0]) * electrons
    assert chi2 == pytest.approx(1, rel=0.1)  # Poisson: variance over mean is 1; 5 standard errors of 12 000 values


class Bench(Loud):
    """The same on a bench, where nobody may ask before a run."""

    @property
    def spec(self) -> Any:
        return dataclasses.replace(self._loud, kind="measured")

    def measure(self, drive: Any, passes: Any) -> Reading:
        raise MeasurementError("a control asked the bench")


def test_a_bench_is_not_asked_how_large_its_responses_are() -> None:
    system = Impaired(Bench(), photoelectrons=20 / SIZE, full_scale=4 * SIZE, signed=False)
    found = projection_for(system, detector="auto", seed=7)
    assert [text for text in found.assumed if "a quarter of full scale" in text]
    told = found.system.spec.identity["impairments"]
    # The projection's own full scale is 4 times its RMS then, as `auto` makes it: 10 % for 32 drives.
    automatic = Impaired(projection_for(Bench(), detector="auto", seed=7).system, full_scale="auto")
    assert told["full_scale"] == pytest.approx(automatic.spec.identity["impairments"]["full_scale"], rel=0.4)
    assert told["photoelectrons"] * told["full_scale"] == pytest.approx(20 / SIZE * 4 * SIZE)


def test_without_any_size_what_needs_one_is_left_out_and_said() -> None:
    system = Impaired(Bench(), photoelectrons=20.0, noise=0.1, flicker=Flicker(rms=1.0, lowest=0.1))
    found = projection_for(system, detector="auto", seed=7)
    assert any("no flicker and no photoelectrons" in text for text in found.assumed)
    told = found.system.spec.identity["impairments"]
    assert told["noise"] == 0.1 and "photoelectrons" not in told and "flicker" not in told


def test_an_older_session_that_tells_in_words_is_said_to_be_spared() -> None:
    spec = Loud().spec
    identity = {**spec.identity, "impairments": {"noise": 0.2, "gain_drift": "Drift(profile='linear', rate=1.0)"}}

    class Replayed(Loud):
        @property
        def spec(self) -> Any:
            return dataclasses.replace(self._loud, kind="replay", identity=identity)

    found = projection_for(Replayed(), detector="auto", seed=7)
    assert any("gain_drift in words" in text for text in found.assumed)
    assert found.system.spec.identity["impairments"]["noise"] == 0.2
