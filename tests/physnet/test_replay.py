"""A recorded run as a system."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from physnet.assembly import build_network, build_rule, load_samples, training_options
from physnet.contracts import PhysicalSystem, Reading
from physnet.errors import MeasurementError, SessionError
from physnet.experiment import Experiment, load_experiment
from physnet.function_system import system as wrapped
from physnet.network import Network
from physnet.port import Port
from physnet.raw import RawWriter, open_raw
from physnet.records import RunResult
from physnet.replay import ReplaySystem
from physnet.testing import SystemConformance
from physnet.trainer import Trainer

DRIVES, RESPONSES, ROWS = 5, 4, 60
MATRIX = np.random.default_rng(0).standard_normal((DRIVES, RESPONSES))


def bench(**options: Any) -> PhysicalSystem:
    return wrapped(lambda drive: np.abs(drive @ MATRIX), drives=DRIVES, responses=RESPONSES, **options)


def drives(seed: int, rows: int = ROWS) -> NDArray[Any]:
    return np.random.default_rng(seed).random((rows, DRIVES))


def record(folder: Path, *calls: tuple[NDArray[Any], NDArray[np.int64]], **options: Any) -> list[NDArray[Any]]:
    """Play into a bench whose noise differs at every call, and return what it answered."""
    noise = np.random.default_rng(1)
    system = wrapped(
        lambda drive: np.abs(drive @ MATRIX) + noise.normal(0, 0.1, (len(drive), RESPONSES)),
        drives=DRIVES,
        responses=RESPONSES,
    )
    port = Port(system, chunk=13, **options)
    with RawWriter(folder, {"bench": port.spec}) as writer:
        port.on_exchange = writer.observer("bench")
        answers = []
        for attempt, (drive, passes) in enumerate(calls):
            writer.attempt = attempt
            answers.append(torch.as_tensor(port.measure(drive, passes).response).numpy())
    return answers


def ask(system: PhysicalSystem, drive: NDArray[Any], passes: NDArray[np.int64], **options: Any) -> NDArray[Any]:
    return torch.as_tensor(Port(system, **options).measure(drive, passes).response).numpy()


def test_a_recorded_row_is_answered_to_the_bit_in_any_order(tmp_path: Path) -> None:
    passes = np.arange(100, 100 + ROWS)
    (answer,) = record(tmp_path, (drives(0), passes))
    replay = ReplaySystem(run=tmp_path)
    order = np.random.default_rng(2).permutation(ROWS)
    np.testing.assert_array_equal(ask(replay, drives(0), passes), answer)
    np.testing.assert_array_equal(ask(replay, drives(0)[order], passes[order], seed=3, chunk=7), answer[order])


def test_the_last_attempt_at_a_row_counts_and_its_drive_must_be_the_same(tmp_path: Path) -> None:
    passes = np.arange(ROWS)
    first, second, other = record(tmp_path, (drives(0), passes), (drives(0), passes), (drives(1), passes))
    assert not np.array_equal(first, second)
    replay = ReplaySystem(run=tmp_path)
    np.testing.assert_array_equal(ask(replay, drives(0), passes), second)
    np.testing.assert_array_equal(ask(replay, drives(1), passes), other)
    # under another number: the response that came first
    np.testing.assert_array_equal(ask(replay, drives(0), passes + 1000), first)


def test_a_drive_that_was_not_recorded_is_refused_and_says_how_far_off_it_is(tmp_path: Path) -> None:
    record(tmp_path, (drives(0), np.arange(ROWS)))
    replay = ReplaySystem(run=tmp_path, name="night")
    asked = drives(0)[:4].copy()
    asked[2, 1] += 0.25 if asked[2, 1] < 0.5 else -0.25
    with pytest.raises(
        MeasurementError,
        match=r"night: .*row 2, pass 2, was not recorded.*differs by 0\.25 of the range.*set interpolate",
    ) as refused:
        replay.measure(asked, np.arange(4))
    assert refused.value.reading is not None and len(refused.value.reading) == 2
    with pytest.raises(MeasurementError, match="was not recorded"):
        Port(replay).measure(asked, np.arange(4))


def test_rows_that_could_not_be_used_are_never_replayed(tmp_path: Path) -> None:
    calls = iter(range(100))

    def flaky(drive: NDArray[Any]) -> NDArray[Any]:
        answer = np.abs(drive @ MATRIX)
        return np.full_like(answer, np.nan) if next(calls) == 0 else answer

    port = Port(wrapped(flaky, drives=DRIVES, responses=RESPONSES), chunk=10)
    with RawWriter(tmp_path, {"bench": port.spec}) as writer:
        port.on_exchange = writer.observer("bench")
        answer = torch.as_tensor(port.measure(drives(0), np.arange(ROWS)).response)
    reading = Port(ReplaySystem(run=tmp_path)).measure(drives(0), np.arange(ROWS))
    assert torch.equal(torch.as_tensor(reading.response), answer)
    assert reading.flags is not None and not np.any(reading.flags)


def test_interpolation_is_asked_for_exact_where_recorded_and_said(tmp_path: Path) -> None:
    (answer,) = record(tmp_path, (drives(0), np.arange(ROWS)))
    replay = ReplaySystem(run=tmp_path, interpolate=3)
    assert replay.spec.identity["interpolated_from"] == 3
    assert ReplaySystem(run=tmp_path, interpolate=True).spec.identity["interpolated_from"] == 4
    asked = np.vstack([drives(0)[:5], drives(7)[:5]])
    found = ask(replay, asked, np.arange(10))
    np.testing.assert_array_equal(found[:5], answer[:5])
    between = np.abs(drives(7)[:5] @ MATRIX)
    # neighbours in five dimensions lie some 0.3 of the range away: no more than the response's own spread is asked for
    assert np.abs(found[5:] - between).mean() < answer.std()
    assert (found[5:] >= answer.min(0)).all() and (found[5:] <= answer.max(0)).all()


def test_codes_stay_codes_when_interpolated(tmp_path: Path) -> None:
    port = Port(bench(), chunk=9)

    def converted(drive: Any, passes: Any) -> Reading:
        return Reading(response=np.round(np.abs(drive @ MATRIX) * 1000).astype(np.int16))

    port.system.measure = converted  # type: ignore[method-assign]
    with RawWriter(tmp_path, {"bench": port.spec}) as writer:
        port.on_exchange = writer.observer("bench")
        port.measure(drives(0), np.arange(ROWS))
    replay = ReplaySystem(run=tmp_path, interpolate=2)
    assert replay.spec.response.dtype == "int16"
    found = replay.measure(np.asarray(drives(5)[:3], replay.spec.drive.dtype), np.arange(3)).response
    assert found.dtype == np.int16 and (np.asarray(found) > 0).all()


def test_the_spec_is_the_recorded_one_and_says_replay(tmp_path: Path) -> None:
    record(tmp_path / "night-1", (drives(0), np.arange(ROWS)))
    recorded, replay = bench().spec, ReplaySystem(run=tmp_path / "night-1")
    spec = replay.spec
    assert spec.kind == "replay" and spec.reproducible and not spec.stateful
    assert spec.drive == recorded.drive and spec.response == recorded.response
    assert spec.identity["run"] == "night-1" and spec.identity["recorded_kind"] == recorded.kind
    assert len(spec.identity["raw_sha256"]) == 64


def test_a_run_without_raw_data_or_of_another_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match=r"session\.raw"):
        ReplaySystem(run=tmp_path)
    record(tmp_path, (drives(0), np.arange(ROWS)))
    with pytest.raises(SessionError, match="are of bench: name one of these, got 'other'"):
        ReplaySystem(run=tmp_path, system="other")


EXPERIMENT = """\
data = {{ name = "digits", train_limit = 120, test_limit = 40 }}
rule.name = "{rule}"
training = {{ epochs = 2, batch_size = 40, standardise_rows = 60 }}

[systems.lower]
type = "scattering"
responses = 24
impairments = {{ noise = 0.05 }}

[systems.upper]
type = "scattering"
responses = 20

[[layers]]
system = "lower"
width = 16

[[layers]]
system = "upper"
width = 16
"""


def train(experiment: Experiment, folder: Path | None = None) -> tuple[RunResult, Network]:
    samples, rule = load_samples(experiment), build_rule(experiment)
    network = build_network(experiment, samples.frame, rule)
    trainer = Trainer(
        network,
        rule,
        samples.splits,
        classes=len(samples.frame.classes),
        options=training_options(experiment),
        seed=experiment.seed,
    )
    ports = dict(zip(("lower", "upper"), network.ports, strict=True))
    if folder is None:
        with network:
            return trainer.run(), network
    with RawWriter(folder, {name: port.spec for name, port in ports.items()}, segment_bytes=1 << 20) as writer, network:
        for name, port in ports.items():
            port.on_exchange = writer.observer(name)
        return trainer.run(), network


@pytest.mark.parametrize("rule", ["phyll", "mono_forward"])
def test_training_again_on_the_replay_of_a_run_gives_the_same_weights(tmp_path: Path, rule: str) -> None:
    text = EXPERIMENT.format(rule=rule)
    (tmp_path / "first.toml").write_text(text, encoding="utf-8")
    result, _ = train(load_experiment(tmp_path / "first.toml"), tmp_path / "run")
    for name in ("lower", "upper"):
        begin = text.index(f"[systems.{name}]")
        end = text.index("\n\n", begin)
        text = text[:begin] + f'[systems.{name}]\ntype = "replay"\nrun = "run"\nsystem = "{name}"' + text[end:]
    (tmp_path / "again.toml").write_text(text, encoding="utf-8")
    again, network = train(load_experiment(tmp_path / "again.toml"))
    assert {layer.port.spec.kind for layer in network} == {"replay"}
    assert again.weights_sha256 == result.weights_sha256
    assert again.test_accuracy == result.test_accuracy
    assert again.physical_passes == result.physical_passes
    assert open_raw(tmp_path / "run").system("lower").kind == "simulated"


class TestConformance(SystemConformance):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self._path = tmp_path
        record(tmp_path, (drives(0), np.arange(ROWS)))

    def make_system(self) -> PhysicalSystem:
        return ReplaySystem(run=self._path, interpolate=4)
