"""What `--characterise` and `--controls` add to the forecast of a run.

Counted like the run itself: a characterisation by its play list, each training of a control through the network's own
layers, with a stand-in in place of each system.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from .assembly import Samples, build_network, build_rule, load_samples, training_options
from .characterisation.measure import BLOCK
from .characterisation.plan import DEFAULT, make_plan
from .controls.kinds import NETWORK, PHYSICAL, plan
from .experiment import Experiment
from .forecast import PassForecast, count_passes
from .network import Network
from .port import Port
from .trainer import Trainer

_ROW_BYTES = 2048  # of a training in controls.json; it is there twice while it is replaced
_FIGURE_BYTES = 400_000
_CHANNEL_BYTES = 256  # of a characterisation: some traces have a number per response, others per pass
_FILE_BYTES = 100_000
_DIGITAL = frozenset({"physics_zeroed", "random_projection", "skip_alone"})
"""Controls that train a network, and drive nothing."""


@dataclass(frozen=True, kw_only=True)
class Extra:
    """What comes on top of a run.

    Args:
        passes: Passes by what they are for: a system's characterisation, or a control.
        systems: Passes by name of the system.
        calls: Calls of `measure` by name of the system.
        trainings: Everything that is trained: `(control, seed)` pairs.
        networks: Those of them that train a network, and take the run's digital time.
        bytes: Room on the disk, at most.
        limited: Why there may be fewer passes; empty when there can't be.
    """

    passes: Mapping[str, int]
    systems: Mapping[str, int]
    calls: Mapping[str, int]
    trainings: int = 0
    networks: int = 0
    bytes: int = 0
    limited: str = ""

    @property
    def total(self) -> int:
        """All passes."""
        return sum(self.passes.values())


def of_characterisation(experiment: Experiment, ports: Mapping[str, Port]) -> Extra:
    """Count what characterising every system of a run takes, without retries.

    Args:
        experiment: The experiment.
        ports: Port of each system, by name.

    Raises:
        SpecError: The joint limits of a system allow no drive at all.
    """
    passes, calls, room = {}, {}, 0
    for name, port in ports.items():
        passes[name] = sum(make_plan(port.spec, passes=DEFAULT, seed=experiment.seed).passes.values())
        calls[name] = _calls(passes[name], BLOCK, port.chunk)
        room += _FILE_BYTES + _FIGURE_BYTES + _CHANNEL_BYTES * (port.spec.response.channels + passes[name])
    return Extra(passes=passes, systems=passes, calls=calls, bytes=room)


def of_controls(experiment: Experiment, *, device: str = "cpu") -> Extra:
    """Count what the controls of an experiment take, with as many seeds as it declares; the run is one of them.

    Args:
        experiment: The experiment; its controls say which, and how many seeds.
        device: torch device of the digital part.

    Raises:
        ExperimentError: No control applies.
        DataError: The data can't be split with another seed.
        DriveError: A control drives a system beyond its limits.
    """
    names = (NETWORK, *plan(experiment).run)
    counted = _Counted(experiment, device)
    passes = dict.fromkeys((name for name in names if name in PHYSICAL), 0)
    trainings = networks = 0
    for number in range(experiment.controls.repeats):
        samples = load_samples(experiment.model_copy(update={"seed": experiment.seed + number}))
        for name in names:
            if (name, number) == (NETWORK, 0):
                continue  # the run itself
            trainings += 1
            networks += name in _DIGITAL or (name in PHYSICAL and name != "linear_readout")
            if name in PHYSICAL:
                passes[name] += counted.add(name, samples)
    return Extra(
        passes=passes,
        systems=counted.systems,
        calls=counted.calls,
        trainings=trainings,
        networks=networks,
        bytes=2 * _ROW_BYTES * (trainings + 1) + _FIGURE_BYTES,
        limited=counted.limited,
    )


@dataclass(eq=False)
class _Counted:
    """Adds up trainings. Seeds whose splits have the same sizes take the same passes: each is counted once."""

    experiment: Experiment
    device: str
    systems: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    limited: str = ""
    _networks: dict[int, tuple[Network, dict[Port, str]]] = field(default_factory=dict)
    _known: dict[tuple[int, ...], PassForecast] = field(default_factory=dict)

    def add(self, control: str, samples: Samples) -> int:
        """Add a training that presents rows to the physics; return its passes."""
        found = self._readout(samples) if control == "linear_readout" else self._training(control, samples)
        for name, rows in found.systems.items():
            self.systems[name] = self.systems.get(name, 0) + rows
            self.calls[name] = self.calls.get(name, 0) + found.calls[name]
        self.limited = self.limited or found.limited
        return found.total

    def _training(self, control: str, samples: Samples) -> PassForecast:
        depth = len(self.experiment.layers) - (control == "one_layer_less")
        key = (depth, *_sizes(samples))
        if key not in self._known:
            network, names = self._network(depth, samples)
            trainer = Trainer(
                network,
                build_rule(self.experiment),
                samples.splits,
                classes=len(samples.frame.classes),
                options=training_options(self.experiment),
                seed=self.experiment.seed,
            )
            self._known[key] = count_passes(trainer, names)
        return self._known[key]

    def _readout(self, samples: Samples) -> PassForecast:
        """The training and test samples, once each, through the first layer."""
        network, names = self._network(len(self.experiment.layers), samples)
        port = network.layers[0].port
        train, _, test = _sizes(samples)
        batch = self.experiment.training.evaluation_batch
        calls = sum(_calls(rows, batch, port.chunk) for rows in (train, test))
        return PassForecast(
            purposes={"control": train + test}, systems={names[port]: train + test}, calls={names[port]: calls}
        )

    def _network(self, depth: int, samples: Samples) -> tuple[Network, dict[Port, str]]:
        if depth not in self._networks:
            layers = self.experiment.layers[:depth]
            changed = self.experiment.model_copy(update={"layers": layers})
            network = build_network(changed, samples.frame, build_rule(changed), device=self.device)
            names = {layer.port: section.system for section, layer in zip(layers, network, strict=True)}
            self._networks[depth] = network, names
        return self._networks[depth]


def _sizes(samples: Samples) -> tuple[int, int, int]:
    return len(samples.splits.train), len(samples.splits.validation), len(samples.splits.test)


def _calls(rows: int, block: int, chunk: int | None) -> int:
    """Calls that rows take which are presented block by block, by a port with a largest chunk."""
    whole, left = divmod(rows, block)
    return whole * math.ceil(block / (chunk or block)) + math.ceil(left / (chunk or block))
