"""Parameters of a tunable system are checked, written when they differ, and counted."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from physnet.contracts import DriveSpec, Passes, Reading, ResponseSpec, SystemSpec, Tunable
from physnet.controls.ports import ControlPort
from physnet.encoders import Absolute
from physnet.errors import DriveError, MeasurementError, TransportError
from physnet.layer import PhysicalLayer
from physnet.passes import Purpose, pass_numbers
from physnet.port import Port
from physnet.simulators.impairments import Impaired
from physnet.simulators.mach_zehnder import MachZehnderMesh
from physnet.simulators.programmable_cavity import ProgrammableCavity
from physnet.simulators.scattering import ScatteringMedium


class Switches:
    """Answers a drive times its gains, where its switches are on; keeps what was written."""

    def __init__(self) -> None:
        self.parameters = {
            "gain": DriveSpec(shape=(2,), low=-1.0, high=2 * math.pi),
            "switch": DriveSpec(shape=(2,), domain="binary"),
        }
        self.values: dict[str, NDArray[Any]] = {"gain": np.ones(2), "switch": np.zeros(2)}
        self.spec = SystemSpec(
            name="switches", kind="simulated", drive=DriveSpec(shape=(2,)), response=ResponseSpec(shape=(2,))
        )
        self.writes: list[dict[str, NDArray[Any]]] = []
        self.broken = False

    def configure(self, values: Mapping[str, NDArray[Any]]) -> int:
        if self.broken:
            raise TransportError("no answer", kind="timeout", resource="COM3")
        self.writes.append(dict(values))
        self.values |= values
        return len(self.writes)

    def measure(self, drive: Any, passes: Passes) -> Reading:
        return Reading(response=drive * self.values["gain"] * self.values["switch"])

    def __enter__(self) -> Switches:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""


def test_a_write_is_counted_and_what_is_written_already_is_not_written_again() -> None:
    system = Switches()
    port = Port(system)
    with port:
        assert port.configure({"gain": torch.tensor([0.5, 1.0])})
        assert not port.configure({"gain": np.array([0.5, 1.0])})
        assert port.configure({"gain": np.array([0.5, 1.0]), "switch": np.array([1, 0])})
        assert port.configure({"switch": np.array([0, 0])})
    assert (port.count.parameter_writes, port.count.passes) == (3, 0)
    assert [sorted(one) for one in system.writes] == [["gain"], ["gain", "switch"], ["switch"]]
    assert port.count.seconds > 0


def test_a_system_that_was_left_is_written_to_again() -> None:
    port = Port(Switches())
    for _ in range(2):
        with port:
            assert port.configure({"gain": np.ones(2)})
    assert port.count.parameter_writes == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gain": np.array([0.0, 6.3])}, r"gain of switches must be -1 to 6.28319 1, got 6.3 in channel 1"),
        ({"gain": np.array([math.nan, 0.0])}, r"got nan in channel 0"),
        ({"switch": np.array([0.5, 1.0])}, r"switch of switches must be binary, 0 or 1 1, got 0.5 in channel 0"),
        ({"gain": np.zeros(3)}, r"must be 2 real numbers"),
        ({"gain": np.zeros(2), "phase": np.zeros(2)}, r"must be among gain, switch, got phase"),
    ],
)
def test_a_value_that_is_not_allowed_is_never_written(values: dict[str, Any], message: str) -> None:
    system = Switches()
    port = Port(system)
    with port, pytest.raises(DriveError, match=message):
        port.configure(values)
    assert not system.writes and port.count.parameter_writes == 0


def test_a_limit_that_single_precision_rounds_up_is_kept_to_the_bit() -> None:
    system = Switches()
    Port(system).configure({"gain": torch.full((2,), 2 * math.pi, dtype=torch.float32)})
    # float32 has no 2 pi: its nearest number lies 1.7e-7 above it.
    assert system.values["gain"].max() == 2 * math.pi and system.values["gain"].dtype == np.float64


def test_after_a_write_that_broke_nothing_is_taken_for_written() -> None:
    system = Switches()
    port = Port(system)
    port.configure({"gain": np.ones(2)})
    system.broken = True
    with pytest.raises(MeasurementError, match=r"switches did not take its parameters: .*no answer"):
        port.configure({"gain": np.zeros(2)})
    system.broken = False
    assert port.configure({"gain": np.ones(2)})
    assert port.count.parameter_writes == 3


def test_a_system_without_parameters_takes_none() -> None:
    class Bare:
        spec = Switches().spec

    port = Port(Bare())  # type: ignore[arg-type]
    assert not port.parameters and not port.values
    with pytest.raises(DriveError, match="must be among none, got gain"):
        port.configure({"gain": np.ones(2)})


def test_a_control_has_the_parameters_of_what_it_stands_for_and_leaves_that_alone() -> None:
    system = Switches()
    port = ControlPort(Port(system), type("Zeros", (), {"spec": system.spec})())
    assert port.configure({"gain": np.zeros(2)})
    assert port.count.parameter_writes == 1 and not system.writes


@pytest.mark.parametrize(
    "system",
    [
        MachZehnderMesh(drives=4, responses=4, seed=3),
        ProgrammableCavity(drives=4, responses=10, trainable=3, seed=3),
        Impaired(MachZehnderMesh(drives=4, responses=4, seed=3), noise=0.1),
    ],
    ids=["mesh", "cavity", "noisy mesh"],
)
def test_the_shipped_tunable_systems_tell_what_they_are_set_to(system: Any) -> None:
    assert isinstance(system, Tunable)
    start = system.values
    assert {name: value.shape for name, value in start.items()} == {
        name: spec.shape for name, spec in system.parameters.items()
    }
    port = Port(system)  # type: ignore[arg-type]
    changed = {name: np.roll(value, 1) + 0 for name, value in start.items()}
    changed |= {name: 1 - value for name, value in start.items() if system.parameters[name].domain == "binary"}
    port.configure(changed)
    for name, value in system.values.items():
        np.testing.assert_array_equal(value, changed[name])
        value += 1  # a copy
    np.testing.assert_array_equal(next(iter(system.values.values())), next(iter(changed.values())))
    for name, value in port.values.items():
        np.testing.assert_array_equal(value, changed[name])


def test_training_begins_from_what_the_system_is_set_to_when_it_begins() -> None:
    mesh = MachZehnderMesh(drives=4, responses=4, seed=3)
    port = Port(mesh)
    layer = PhysicalLayer(port=port, inputs=4, width=3, encoder=Absolute(), seed=0)
    mesh.configure({"theta": np.ones(6)})  # by hand, after the port was made
    control = ControlPort(port, type("Zeros", (), {"spec": mesh.spec})())
    for values in (layer.tune(), port.values, control.values):
        np.testing.assert_array_equal(values["theta"], np.ones(6))
    with port:
        layer.write_parameters()
    np.testing.assert_array_equal(mesh.values["theta"], np.ones(6))


def test_impairments_write_to_the_system_inside_and_have_no_parameters_of_their_own() -> None:
    mesh = MachZehnderMesh(drives=4, responses=4, seed=3)
    with Port(Impaired(mesh, noise=0.1)) as port:
        assert port.configure({"theta": np.ones(6)})
    np.testing.assert_array_equal(mesh.values["theta"], np.ones(6))
    plain = Port(Impaired(ScatteringMedium(drives=4, responses=4), noise=0.1))
    assert not plain.parameters
    with pytest.raises(DriveError, match="must be among none, got theta"):
        plain.configure({"theta": np.ones(6)})


def test_no_response_to_another_setting_comes_from_a_cache() -> None:
    system = Switches()
    system.spec = dataclasses.replace(system.spec, repeatable=True)
    port = Port(system, dtype=torch.float64, cache_megabytes=1.0)
    drive, passes = torch.tensor([[0.25, 0.5]]), pass_numbers(Purpose.TRAIN, rows=1)
    with port:
        for switch, expected in (([1, 0], [0.25, 0.0]), ([0, 1], [0.0, 0.5]), ([1, 0], [0.25, 0.0])):
            port.configure({"switch": np.array(switch)})
            for _ in range(2):
                assert torch.as_tensor(port.measure(drive, passes).response)[0].tolist() == expected
    assert (port.count.parameter_writes, port.count.passes, port.count.cache_hits) == (3, 3, 3)
