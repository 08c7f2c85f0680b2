"""Where systems compute: a device that is not there is refused when the system is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from physnet.errors import SpecError
from physnet.simulators.acoustic import AcousticCavity
from physnet.simulators.devices import device_of
from physnet.simulators.mach_zehnder import MachZehnderMesh
from physnet.simulators.multimode_fibre import MultimodeFibre
from physnet.simulators.nonlinear_waveguide import NonlinearWaveguide
from physnet.simulators.scattering import ScatteringMedium

MAKERS: dict[str, Callable[..., Any]] = {
    "acoustic": AcousticCavity,
    "mach_zehnder": MachZehnderMesh,
    "multimode_fibre": MultimodeFibre,
    "nonlinear_waveguide": NonlinearWaveguide,
    "scattering": ScatteringMedium,
}


@pytest.mark.parametrize("maker", MAKERS)
def test_a_device_that_is_not_there_is_refused(maker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    for device, found in (("cuda", "torch finds 0"), ("gpu", "'cpu' or 'cuda'")):
        with pytest.raises(SpecError, match=found):
            MAKERS[maker](drives=4, responses=4, device=device)


def test_one_of_several_devices_must_be_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device_of("cuda:1", name="medium") == torch.device("cuda", 1)
    with pytest.raises(SpecError, match=r"got 'cuda:2', and torch finds 2"):
        device_of("cuda:2", name="medium")
