from __future__ import annotations

import math
from typing import Any

import numpy as np

from physnet.simulators.dipole_layout import Layout, furnish


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


def test_more_antennas_move_nothing() -> None:
    few, many = layout(), layout(antennas=12)
    assert np.array_equal(few.fixed, many.fixed) and np.array_equal(few.antennas, many.antennas[:6])
    assert not np.array_equal(few.antennas, layout(seed=1).antennas)
