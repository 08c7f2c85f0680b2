from typing import Any

import numpy as np
import pytest
import torch
from amplifiers import Amplifiers

from physnet.characterisation import characterise
from physnet.errors import DriveError
from physnet.simulators.impairments import Impaired
from physnet.testing import SystemConformance, check_system, random_drives


def made(**options: Any) -> Amplifiers:
    return Amplifiers(**{"drives": 12, "responses": 20, **options})


class TestAmplifiers(SystemConformance):
    def make_system(self) -> Amplifiers:
        return made()


@pytest.mark.parametrize("options", [{"noise": 0.01}, {"droop": 0.5, "warm_up": 0.01}])
def test_it_keeps_to_the_contract_with_every_option(options: dict[str, Any]) -> None:
    check_system(lambda: made(**options))
    check_system(lambda: Impaired(made(**options), noise=0.02, dac_bits=8, adc_bits=8, full_scale="auto"))


def test_weak_light_is_a_square_and_strong_light_saturates() -> None:
    drive, passes = random_drives(made().spec, rows=8, seed=0), np.arange(8)
    with made() as system:
        full, weak = (system.measure(torch.as_tensor(scale * drive), passes).response for scale in (1.0, 0.01))
    # Of the square of 1e-4, saturation takes |y|^2 / P = 1e-4 |y|^2 / 0.5 at most, with |y|^2 below 20 for 160 values
    # of mean <= 1 (an exponential beyond that once in 10^6); at full drive it takes some.
    assert torch.all((weak * 1e4 / full > 1) & torch.isfinite(full))
    unsaturated = full / (1 - full / 0.5)  # I = p / (1 + p / P) solved for p
    torch.testing.assert_close(weak * 1e4, unsaturated, rtol=20 * 1e-4 / 0.5, atol=0)


def test_gains_scale_the_answers_one_by_one() -> None:
    drive, passes = torch.as_tensor(random_drives(made().spec, rows=4, seed=1)), np.arange(4)
    with made() as system:
        before = system.measure(drive, passes).response
        gain = np.linspace(0, 2, 20)
        assert system.configure({"gain": gain}) == 1
        torch.testing.assert_close(system.measure(drive, passes).response, before * torch.from_numpy(gain).float())
        with pytest.raises(DriveError):
            system.configure({"gain": gain + 1})


def test_it_is_found_to_be_what_it_says() -> None:
    with made() as system:
        found = characterise(system)
    said = " ".join(found.sentences)
    assert "is no power of the drive" in said and "Drives mix" in said
    assert "No drift" in said and "No memory" in said
    with made(droop=0.5, warm_up=5.0) as system:
        assert characterise(system)["drift"].resolved
