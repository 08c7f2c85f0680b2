from __future__ import annotations

import numpy as np
import pytest

from physnet.errors import SessionError, SpecError
from physnet.simulators.clock import VirtualClock
from physnet.simulators.drift import Drift


def test_time_does_not_depend_on_how_rows_are_cut_into_batches() -> None:
    whole, cut = VirtualClock(seconds_per_pass=0.1), VirtualClock(seconds_per_pass=0.1)
    start = whole.advance(10)
    assert np.array_equal(np.concatenate([cut.advance(3), cut.advance(7)]), start)
    assert start[0] == 0 and whole.now == cut.now == 1.0  # 10 x 0.1 is exact, the sum of ten 0.1 is not


def test_state_brings_time_back_and_reset_starts_anew() -> None:
    clock = VirtualClock(seconds_per_pass=2.0)
    clock.advance(3)
    clock.wait(60)
    saved = clock.state()
    clock.advance(5)
    clock.restore(saved)
    assert clock.now == 66
    clock.reset()
    assert clock.now == 0
    with pytest.raises(SessionError, match="passes and waited"):
        clock.restore({})


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_time_never_runs_backwards(seconds: float) -> None:
    with pytest.raises(SpecError, match=">= 0 s"):
        VirtualClock(seconds_per_pass=seconds)
    with pytest.raises(SpecError, match=">= 0 s"):
        VirtualClock(seconds_per_pass=1).wait(seconds)


def test_profiles_of_drift_have_their_shape() -> None:
    time = np.array([0.0, 1.0, 2.0, 3.0, 4.0])  # quarters of a period of 4 s
    periodic = {"amplitude": 0.5, "period": 4.0}
    assert np.array_equal(Drift(rate=0.1).at(time), 0.1 * time)
    # sin(pi) is 1.2e-16 in double precision.
    assert np.allclose(Drift(profile="sine", **periodic).at(time), [0, 0.5, 0, -0.5, 0], atol=1e-15)
    assert np.array_equal(Drift(profile="triangle", **periodic).at(time), [0, 0.5, 0, -0.5, 0])
    assert np.array_equal(Drift(profile="square", **periodic).at(time), [0.5, 0.5, -0.5, -0.5, 0.5])


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"rate": 1.0, "period": 2.0},
        {"rate": float("nan")},
        {"profile": "sine", "amplitude": 1.0},
        {"profile": "sine", "amplitude": 1.0, "period": 0.0},
        {"profile": "sawtooth", "rate": 1.0},
    ],
)
def test_a_drift_that_makes_no_sense_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(SpecError, match="drift"):
        Drift(**fields)  # type: ignore[arg-type]
