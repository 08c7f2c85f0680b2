"""From an experiment to the objects it names: samples, systems, network, rule, trainer.

What is only known once the data is read (how many features, which label amplitude) is gathered in a `Frame`, so that a
network can be built again from a session without the data.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import registry
from .contracts import DriveSpec, PhysicalSystem
from .data import Dataset, FeatureScaling, Splits, Subset, load, split
from .encoders import ENCODERS, Encoder, default_encoder
from .errors import DataError, ExperimentError
from .experiment import Experiment
from .experiment.check import IMPAIRMENTS_FILLED, SYSTEM_FILLED
from .experiment.schema import LayerSection
from .fingerprint import code_of
from .layer import DigitalMap, PhysicalLayer
from .network import LabelSlots, Network
from .port import Port
from .records import RunPlan
from .rules.base import LocalRule, Refeeds
from .seeding import derive_seed
from .trainer import Trainer
from .training_options import TrainingOptions


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What a network must know of its data.

    Args:
        features: Numbers of one sample.
        classes: Name of each class.
        label_amplitude: Value of a label slot.
        non_negative: Whether no training sample has a negative feature.
        scaling: How raw samples become features.
    """

    features: int
    classes: tuple[str, ...]
    label_amplitude: float
    non_negative: bool
    scaling: FeatureScaling

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for a session."""
        return {
            "features": self.features,
            "classes": list(self.classes),
            "label_amplitude": self.label_amplitude,
            "non_negative": self.non_negative,
            "scaling": {
                "kind": self.scaling.kind,
                **{name: values.tolist() for name, values in self.scaling.tensors().items()},
            },
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Frame:
        """Take back what `as_dict` returned."""
        scaling = dict(values["scaling"])
        kind = scaling.pop("kind")
        arrays = {name: np.asarray(array, np.float64) for name, array in scaling.items()}
        return cls(
            features=int(values["features"]),
            classes=tuple(values["classes"]),
            label_amplitude=float(values["label_amplitude"]),
            non_negative=bool(values["non_negative"]),
            scaling=FeatureScaling.from_tensors(kind, arrays),
        )


@dataclass(frozen=True, kw_only=True)
class Samples:
    """The data of an experiment, split, and scaled with what the training split says.

    Args:
        dataset: All of it, unscaled.
        splits: Scaled rows.
        frame: What the network must know.
    """

    dataset: Dataset
    splits: Splits
    frame: Frame


def load_dataset(experiment: Experiment) -> Dataset:
    """Read the data an experiment names.

    Raises:
        DataError: It can't be read.
    """
    section = experiment.data
    if section.name != "table":
        return load(section.name)
    options = {"features": section.features, "label": section.label, "group": section.group}
    given = {name: value for name, value in options.items() if value is not None}
    return load("table", path=experiment.base / str(section.path), **given)


def check_data(dataset: Dataset, checksum: str) -> None:
    """Refuse data that are not those a run was made with.

    Args:
        dataset: The data as they are now.
        checksum: What the run recorded; empty where it recorded none.

    Raises:
        DataError: They differ.
    """
    if checksum and dataset.checksum != checksum:
        raise DataError(
            f"data '{dataset.name}' must be what the run was made with ({checksum[:23]}...), got "
            f"{dataset.checksum[:23]}... from {dataset.source}. Put the old file back, or train again on the new one."
        )


def load_samples(experiment: Experiment) -> Samples:
    """Read, split and scale the data of an experiment.

    Raises:
        DataError: It can't be read, or can't be split as asked for.
    """
    section, dataset = experiment.data, load_dataset(experiment)
    splits = split(
        dataset,
        by=section.split,
        test_fraction=section.test_fraction,
        validation_fraction=section.validation_fraction,
        seed=experiment.seed if section.split_seed is None else section.split_seed,
        train_limit=section.train_limit,
        test_limit=section.test_limit,
    )
    scaling = FeatureScaling.fit(section.scaling, splits.train.x)
    scaled = Splits(
        **{
            name: Subset(x=scaling(part.x), y=part.y, index=part.index)
            for name, part in (("train", splits.train), ("validation", splits.validation), ("test", splits.test))
        }
    )
    amplitude = experiment.network.label_amplitude
    largest = float(np.abs(scaled.train.x).max())
    frame = Frame(
        features=dataset.features,
        classes=dataset.classes,
        label_amplitude=(largest or 1.0) if amplitude == "auto" else float(amplitude),
        non_negative=bool(scaled.train.x.min() >= 0),
        scaling=scaling,
    )
    return Samples(dataset=dataset, splits=scaled, frame=frame)


def build_rule(experiment: Experiment) -> LocalRule:
    """Make the rule of an experiment.

    Raises:
        ExperimentError: It is not installed, or takes no such options.
    """
    factory = registry.find("rules", experiment.rule.name)
    model = registry.options_model(factory)
    rule: LocalRule = factory(**registry.arguments(model, experiment.rule.options))
    return rule


def build_network(experiment: Experiment, frame: Frame, rule: LocalRule, *, device: str = "cpu") -> Network:
    """Make the systems and the network of an experiment. Nothing is opened: enter the network for that.

    Args:
        experiment: The experiment.
        frame: What its data says.
        rule: Its rule.
        device: torch device of the digital part, and of simulators that can use it.

    Raises:
        ExperimentError: A system is not installed or takes no such options.
        SpecError: A system and the layers that use it don't fit.
    """
    slots = LabelSlots(classes=len(frame.classes), amplitude=frame.label_amplitude) if rule.labelled_inputs else None
    inputs = frame.features + (slots.classes if slots else 0)
    ports: dict[str, Port] = {}
    layers = []
    refed = isinstance(rule, Refeeds)
    non_negative = frame.non_negative
    for number, section in enumerate(experiment.layers):
        if section.system not in ports:
            system = _build_system(experiment, section, inputs, non_negative=non_negative, device=device)
            ports[section.system] = Port(
                system,
                seed=derive_seed(experiment.seed, f"port {section.system}"),
                retries=experiment.training.retries,
                device=device,
                dark_rows=experiment.session.dark_rows,
                reference_rows=experiment.session.reference_rows,
                cache_megabytes=experiment.training.cache_megabytes if system.spec.repeatable else 0.0,
            )
        port = ports[section.system]
        encoder = _build_encoder(section, port.spec.drive, non_negative=non_negative)
        layers.append(
            PhysicalLayer(
                port=port,
                inputs=inputs,
                width=section.width,
                encoder=encoder,
                seed=derive_seed(experiment.seed, "layer", number),
                skip=section.skip,
                before=_build_before(section, port.spec.drive, encoder, inputs, experiment.seed, number),
                nonlinearity=rule.nonlinearity if section.nonlinearity == "auto" else section.nonlinearity,
                standardise=section.standardise,
                name=f"layer{number}",
            )
        )
        if not refed:
            inputs, non_negative = section.width, layers[-1].nonlinearity in ("relu", "abs")
    if experiment.training.cache_megabytes and all(port.cache is None for port in ports.values()):
        raise ExperimentError(
            f"training.cache_megabytes must be 0: of the systems {', '.join(ports)} none repeats itself exactly. "
            "Remove it, or the noise and drift of one."
        )
    return Network(layers, features=frame.features, slots=slots, refed=refed)


def training_options(experiment: Experiment) -> TrainingOptions:
    """Return what the `[training]` and `[session]` tables say to the trainer; retries are the port's."""
    names = {field.name for field in dataclasses.fields(TrainingOptions)}
    session = experiment.session.model_dump(include=names)
    return TrainingOptions(**experiment.training.model_dump(include=names), **session)


def plan_of(experiment: Experiment, samples: Samples, trainer: Trainer) -> RunPlan:
    """Return everything about a run that is known before its first step."""
    network, dataset = trainer.network, samples.dataset
    used = {section.system: layer.port.spec for section, layer in zip(experiment.layers, network, strict=True)}
    rows = {name: len(getattr(samples.splits, name)) for name in ("train", "validation", "test")}
    return RunPlan(
        title=experiment.title or experiment.source or "physnet run",
        configuration=experiment.as_dict(),
        seed=experiment.seed,
        layers=tuple(layer.name for layer in network),
        metrics=trainer.rule.metrics,
        classes=samples.frame.classes,
        systems={name: spec.plain() for name, spec in used.items()},
        layer_systems=tuple(section.system for section in experiment.layers),
        response_channels=tuple(layer.port.spec.response.channels for layer in network),
        tensors=trainer.tensors(),
        data={
            "name": dataset.name,
            "source": dataset.source,
            "checksum": dataset.checksum,
            "rows": rows,
            "split": experiment.data.split,
            "columns": _columns(experiment, dataset),
            "frame": samples.frame.as_dict(),
        },
        code=code_of(experiment),
    )


def _build_system(
    experiment: Experiment, section: LayerSection, inputs: int, *, non_negative: bool, device: str
) -> PhysicalSystem:
    """Make a system, with as many drives as its first layer emits where the file leaves that open."""
    name = section.system
    described = experiment.systems[name]
    found = registry.find("systems", described.type, base=experiment.base)
    system: PhysicalSystem
    if registry.is_ready(found):
        system = found
    else:
        model = registry.options_model(found, optional=SYSTEM_FILLED)
        takes = {field.alias for field in model.model_fields.values()}
        filled = {
            "seed": derive_seed(experiment.seed, f"system {name}"),
            "name": name,
            "device": device,
        }
        options = {key: value for key, value in filled.items() if key in takes}
        given = registry.arguments(model, described.options)
        options |= {key: experiment.base / value if isinstance(value, Path) else value for key, value in given.items()}
        if "drives" in takes and "drives" not in options:
            # One channel is enough to learn the drive's domain, on which an automatic encoder depends.
            domain = found(**options, drives=1).spec.drive
            encoder = _build_encoder(section, domain, non_negative=non_negative)
            options["drives"] = encoder.channels(section.before_width or inputs)
        try:
            system = found(**options)
        except OSError as error:  # an instrument that is looked for as soon as it is named
            raise ExperimentError(f"system '{name}' ({described.type}) can't be made: {error}.") from error
    if not isinstance(system, PhysicalSystem):
        raise ExperimentError(
            f"system '{name}' ({described.type}) must be a PhysicalSystem, got {type(system).__name__}. It needs spec, "
            "measure and a context manager; see physnet.system for the short way."
        )
    if described.impairments is not None:
        factory = registry.find("impairments", "impaired")
        model = registry.options_model(factory, exclude=IMPAIRMENTS_FILLED)
        seed = derive_seed(experiment.seed, f"impairments {name}")
        system = factory(system, seed=seed, **registry.arguments(model, described.impairments))
    return system


def _build_encoder(section: LayerSection, spec: DriveSpec, *, non_negative: bool) -> Encoder:
    if section.encoder == "auto":
        return default_encoder(spec, non_negative=non_negative)
    kind = ENCODERS[section.encoder]
    return kind(**registry.arguments(registry.options_model(kind), section.encoder_options))


def _build_before(
    section: LayerSection, spec: DriveSpec, encoder: Encoder, inputs: int, seed: int, number: int
) -> DigitalMap | None:
    if section.before == "none":
        return None
    width = section.before_width or max(1, spec.channels // encoder.channels(1))
    return DigitalMap.make(section.before, inputs, width, seed=derive_seed(seed, "before", number))


def _columns(experiment: Experiment, dataset: Dataset) -> list[str]:
    """Return the columns of a CSV file that are features, so that new samples are read alike; empty for other data."""
    is_csv = experiment.data.name == "table" and str(experiment.data.path).lower().endswith(".csv")
    return list(dataset.feature_names) if is_csv else []
