"""The voltages that are shown at the moments of reading are the response."""

from __future__ import annotations

import numpy as np
import pytest

from physnet.simulators.diode_network import DiodeNetwork
from physnet.viewing import Viewable


@pytest.mark.parametrize("moments", [1, 2, 4])
def test_the_voltages_at_the_moments_are_the_response(moments: int) -> None:
    system = DiodeNetwork(drives=3, responses=5 * moments, nodes=7, diodes=6, moments=moments)
    drive = np.array([2.0, -1.0, 0.5])
    response = system.measure(drive[None], np.zeros(1, np.int64)).response[0]
    field = system.field(drive)
    assert isinstance(system, Viewable) and len(field.at_F) == 21 and field.at_F[-1] == pytest.approx(300e-6)
    voltage_FV = field.panels[0].points[0].values
    assert voltage_FV is not None and np.all(voltage_FV[0] == 0)  # capacitors begin empty
    read = voltage_FV[20 // moments :: 20 // moments, :5].astype(np.float32)
    assert np.array_equal(read.ravel(), response)  # the same solver in the same steps
    assert np.array_equal(field.readout, response)  # type: ignore[arg-type]


def test_few_frames_end_at_the_last_reading() -> None:
    field = DiodeNetwork(drives=3, responses=4, diodes=2).field(np.ones(3), frames=5)
    assert len(field.at_F) == 5 and field.at_F[-1] == pytest.approx(300e-6)


def test_the_drawing_has_every_part() -> None:
    system = DiodeNetwork(drives=3, responses=6, nodes=5, moments=2, diodes=7, links=2)
    (panel,) = system.geometry().panels
    lines = {curve.label: int(np.isnan(curve.x_T).sum()) for curve in panel.curves}
    circuit = system.circuit
    assert lines["resistors to sources"] == np.count_nonzero(circuit.source_VU)
    assert lines["resistors between nodes"] == np.count_nonzero(np.triu(circuit.conductance_VV, 1))
    assert lines["diodes, tip at the cathode"] == 3 * 7  # a stroke and the two of its tip
    assert [points.label for points in panel.points] == [
        "3 sources",
        "3 nodes that are read",
        "2 other nodes",
        "ground",
    ]


def test_many_steps_keep_some_moments_those_of_the_readings_among_them() -> None:
    system = DiodeNetwork(drives=3, responses=12, diodes=2, moments=3, steps=210)
    drive = np.array([2.0, -1.0, 0.5])
    field = system.field(drive, pixels=200)
    response = system.measure(drive[None], np.zeros(1, np.int64)).response[0]
    assert len(field.at_F) == 43  # 42 divides 210, 3 divides 42, and 50 of 4 nodes would be 200 numbers
    assert np.array_equal(field.readout, response)  # type: ignore[arg-type]
