"""A system behind an analyser and a board at once.

Axis letters: N patterns; E elements; F frequencies.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import physnet
from physnet.errors import MeasurementError, SpecError
from physnet.function_system import FunctionSystem
from physnet.simulators.instruments.codes import Refusal
from physnet.simulators.instruments.pattern_network import PatternNetwork
from physnet.simulators.instruments.shared_system import SharedSystem
from physnet.simulators.programmable_cavity import ProgrammableCavity
from physnet.simulators.scattering import ScatteringMedium

ELEMENTS = 12


def patterns(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(count).integers(0, 2, (count, ELEMENTS), np.uint8)


def cavity() -> ProgrammableCavity:
    return ProgrammableCavity(drives=ELEMENTS, responses=8, frequencies=(2.4e9, 2.5e9), transmitters=2, scatterers=4)


@pytest.mark.parametrize("pair", [0, 3])
def test_it_has_the_values_of_a_cavity_at_its_frequencies(pair: int) -> None:
    network = PatternNetwork(SharedSystem(cavity()), pair=pair)
    assert network.frequencies.tolist() == [2.4e9, 2.5e9] and network.elements == ELEMENTS
    direct = cavity().measure(patterns(5).astype(np.float64), np.arange(5)).response
    assert np.array_equal(network.respond(patterns(5)), np.asarray(direct)[:, 2 * pair : 2 * pair + 2])


def test_a_medium_without_frequencies_or_phase_is_given_some() -> None:
    medium = ScatteringMedium(drives=ELEMENTS, responses=3)
    with pytest.raises(SpecError, match="it names none itself"):
        PatternNetwork(SharedSystem(medium))
    network = PatternNetwork(SharedSystem(medium), frequencies=[1e9, 2e9, 3e9])
    found_NF = network.respond(patterns(4))
    assert found_NF.dtype == np.complex128 and not found_NF.imag.any() and found_NF.real.all()


def test_what_does_not_fit_is_refused() -> None:
    shared = SharedSystem(cavity())
    wrongs: list[dict[str, Any]] = [
        {"pair": 4},
        {"pair": -1},
        {"frequencies": [1e9, 2e9, 3e9]},
        {"frequencies": [2e9, 1e9]},
    ]
    for wrong in wrongs:
        with pytest.raises(SpecError):
            PatternNetwork(shared, **wrong)
    spectrum = physnet.system(lambda drive: drive, drives=2, responses=2, dtype="complex128")
    with pytest.raises(SpecError, match="must be real behind a simulated instrument"):
        SharedSystem(spectrum)


def test_a_system_that_breaks_is_a_hardware_error_of_the_analyser() -> None:
    def broken(drive: NDArray[Any]) -> NDArray[Any]:
        raise ZeroDivisionError("no wave")

    shared = SharedSystem(physnet.system(broken, drives=2, responses=2))
    with pytest.raises(MeasurementError, match="no wave"):
        shared.respond(np.zeros((1, 2)))
    with pytest.raises(Refusal) as caught:
        PatternNetwork(shared, frequencies=[1e9, 2e9]).respond(np.zeros((1, 2), np.uint8))
    assert caught.value.code == -240


def test_rows_of_several_instruments_are_numbered_one_after_the_other() -> None:
    seen: list[int] = []
    busy = threading.Lock()

    class Watched(FunctionSystem):
        def measure(self, drive: Any, passes: NDArray[np.int64]) -> Any:
            assert busy.acquire(blocking=False), "two instruments play at once"
            seen.extend(passes.tolist())
            busy.release()
            return super().measure(drive, passes)

    plain = physnet.system(lambda drive: drive, drives=1, responses=1)
    shared = SharedSystem(Watched(plain, plain.spec))
    threads = [threading.Thread(target=shared.respond, args=(np.zeros((3, 1)),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(12))
