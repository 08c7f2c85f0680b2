"""What stands around a system hides neither that it is one system, nor which one."""

from __future__ import annotations

import pytest
import torch

from physnet.encoders import Absolute
from physnet.errors import SpecError
from physnet.layer import PhysicalLayer
from physnet.network import Network
from physnet.port import Port
from physnet.simulators.impairments import Impaired
from physnet.simulators.scattering import ScatteringMedium
from physnet.wrapping import innermost


def layer(port: Port, number: int) -> PhysicalLayer:
    return PhysicalLayer(port=port, inputs=4, width=4, encoder=Absolute(), seed=number, name=f"layer{number}")


def test_the_innermost_system_is_found_through_all_wrappers() -> None:
    medium = ScatteringMedium(drives=4, responses=6)
    assert innermost(medium) is medium
    assert innermost(Impaired(Impaired(medium, noise=0.1), dead=0.2)) is medium


@pytest.mark.parametrize("bare", [True, False])
def test_one_system_in_two_impairments_has_no_two_ports(bare: bool) -> None:
    medium = ScatteringMedium(drives=4, responses=6)
    systems = (medium if bare else Impaired(medium, noise=0.1), Impaired(medium, noise=0.2))
    with pytest.raises(SpecError, match=r"must share one port.*impairments included"):
        Network([layer(Port(system), n) for n, system in enumerate(systems)], features=4)


def test_two_systems_in_impairments_and_two_layers_on_one_port_are_a_network() -> None:
    two = [Impaired(ScatteringMedium(drives=4, responses=6, seed=seed), noise=0.1) for seed in (1, 2)]
    Network([layer(Port(system), n) for n, system in enumerate(two)], features=4)
    port = Port(two[0])
    with Network([layer(port, n) for n in (0, 1)], features=4) as network:
        assert len(network.ports) == 1 and torch.is_tensor(network.layers[1].weight_FO)
