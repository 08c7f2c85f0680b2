from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from physnet.simulators.dipole_layout import Layout, furnish
from physnet.simulators.numerics_warning import NumericsWarning
from physnet.simulators.programmable_cavity import ProgrammableCavity


def layout(**options: Any) -> Layout:
    usual: dict[str, Any] = {"size": (2.4, 1.8), "wall_spacing": 0.03, "driven": 60, "trainable": 20}
    usual |= {"element_spacing": None, "standoff": 0.03, "scatterers": 24, "antennas": 6, "wavelength": 0.12, "seed": 0}
    return furnish(**usual | options)


def test_things_keep_clear_of_each_other() -> None:
    found = layout()
    everything = np.concatenate((found.fixed, found.elements, found.antennas))
    distance = np.hypot(*(everything[:, None] - everything[None]).transpose(2, 0, 1))
    np.fill_diagonal(distance, np.inf)
    assert len(found.fixed) == 280 + 24 and len(found.elements) == 80 and found.trainable.sum() == 20
    # The fence is spaced 0.03 m along itself, less across a corner; elements stand 0.03 m before it.
    assert distance.min() > 0.03 / math.sqrt(2) - 1e-9
    assert distance[-6:].min() >= 0.03
    assert np.all((found.elements >= 0.03 - 1e-12) & (found.elements <= np.array([2.37, 1.77]) + 1e-12))
    assert np.diff(np.flatnonzero(found.trainable)).tolist() == [4] * 19  # among the driven ones


def test_a_fence_with_wide_gaps_warns_with_the_number() -> None:
    options: dict[str, Any] = {"drives": 4, "responses": 2, "size": (0.7, 0.6), "scatterers": 0}
    with pytest.warns(NumericsWarning, match=r"stand 0\.584 of the shortest wavelength apart") as caught:
        ProgrammableCavity(**options, frequencies=(2.4e9, 2.5e9), wall_spacing=0.07, transmitters=1)
    assert len(caught) == 1 and caught[0].filename == __file__
    ProgrammableCavity(**options, frequencies=(2.4e9, 2.5e9), wall_spacing=0.05, transmitters=1)


def test_more_antennas_move_nothing() -> None:
    few, many = layout(), layout(antennas=12)
    assert np.array_equal(few.fixed, many.fixed) and np.array_equal(few.antennas, many.antennas[:6])
    assert not np.array_equal(few.antennas, layout(seed=1).antennas)
