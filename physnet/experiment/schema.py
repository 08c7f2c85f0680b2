"""The sections of an experiment file, and the experiment they make."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import ExperimentError
from ..passes import MOST_EPOCHS
from ..training_options import Schedule
from .problems import problems_of

Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(min_length=1)]


class Section(BaseModel):
    """A table of the file: frozen, and no key but its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataSection(Section):
    """Which samples, and how they are split.

    Args:
        name: A known dataset, or `table` for a CSV, NPZ or HDF5 file.
        path: File of a `table`; a relative path starts from the experiment file's folder.
        features: Columns of a `table`; all that are left when None.
        label: Column or array of a `table` that holds the class; must be given for CSV, else `y` when None.
        group: Column of a `table` whose values stay on one side of the split: speaker, day, device.
        split: Rows at random, or whole groups.
        test_fraction: Part that is kept for testing, where the dataset has no test part of its own.
        validation_fraction: Part of the rest that early stopping looks at.
        train_limit: Most training samples; all when None.
        test_limit: Most test samples; all when None.
        scaling: `standard` (mean 0, spread 1) or `range` (0 to 1), fitted on training samples alone.
        split_seed: Seed of the split; the run's seed when None.
    """

    name: Literal["digits", "mnist", "sign", "vowel-audio", "vowels", "table"]
    path: Name | None = None
    features: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    label: str | None = None
    group: str | None = None
    split: Literal["row", "group"] = "row"
    test_fraction: Fraction = 0.2
    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.15
    train_limit: Count | None = None
    test_limit: Count | None = None
    scaling: Literal["none", "standard", "range"] = "none"
    split_seed: Annotated[int, Field(ge=0)] | None = None


class _Open(Section):
    """A section whose other keys are options of what it names. In the file they stand beside its own keys."""

    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, table: Any) -> Any:
        if not isinstance(table, dict):
            return table
        own = {key: value for key, value in table.items() if key != "options" and key in cls.model_fields}
        return {**own, "options": {key: value for key, value in table.items() if key not in own}}

    def as_dict(self) -> dict[str, Any]:
        """The section as the file has it."""
        return {**self.model_dump(mode="json", exclude={"options"}), **self.options}


class SystemSection(_Open):
    """One physical system.

    Args:
        type: A registered name, or `path/to/bench.py:name`.
        impairments: Options of the impairments it wears; None for none.
        options: Options of the system, those of its defaults included that a file can hold.
    """

    type: Name
    impairments: dict[str, Any] | None = None


class RuleSection(_Open):
    """The learning rule.

    Args:
        name: A registered name.
        options: Its options, defaults included.
    """

    name: Name


class LayerSection(Section):
    """One layer, from its input to its output.

    Args:
        system: Name of a section of `systems`.
        width: Outputs of the digital map.
        encoder: Name of an encoder; `auto` takes one that suits the system's domain.
        encoder_options: Options of the encoder.
        skip: Whether the digital map also sees the layer's input.
        before: Digital map before the physics: fixed and random, or each input repeated.
        before_width: Outputs of that map; what the system takes when None.
        nonlinearity: Digital nonlinearity after the map; `auto` leaves it to the rule.
        standardise: Whether responses are standardised before the digital map.
    """

    system: Name
    width: Count
    encoder: Name = "auto"
    encoder_options: dict[str, Any] = Field(default_factory=dict)
    skip: bool = False
    before: Literal["none", "random", "repeat"] = "none"
    before_width: Count | None = None
    nonlinearity: Literal["auto", "none", "relu", "gelu", "tanh", "silu", "abs"] = "auto"
    standardise: bool = True


class NetworkSection(Section):
    """What belongs to no layer alone.

    Args:
        label_amplitude: Value of the label slots; `auto` takes it from the training samples, once.
    """

    label_amplitude: Positive | Literal["auto"] = "auto"


class TrainingSection(Section):
    """How long, and in which portions.

    Args:
        schedule: All layers learn from each minibatch (`simultaneous`), also with systems that measure at the same
            time (`pipelined`), or one layer after the other (`greedy`).
        epochs: Times that each training sample is presented; to each layer in the greedy schedule.
        batch_size: Samples of a step, or `all`.
        validate_every: Epochs between two validations.
        patience: Validations without progress before training stops, or goes on with the next layer; None never.
        budget_passes: Most physical passes.
        budget_minutes: Longest duration in min.
        standardise_rows: Training samples that standardisation is fitted on.
        evaluation_batch: Samples of one evaluation step.
        retries: Times that an invalid row is presented again.
        cache_megabytes: Memory in MB for the responses of each system that repeats itself exactly; 0 measures always.
    """

    schedule: Schedule = "simultaneous"
    epochs: Annotated[int, Field(ge=1, le=MOST_EPOCHS)]
    batch_size: Count | Literal["all"]
    validate_every: Count = 1
    patience: Count | None = None
    budget_passes: Count | None = None
    budget_minutes: Positive | None = None
    standardise_rows: Annotated[int, Field(ge=1, le=1024)] = 1024
    evaluation_batch: Count = 2000
    retries: Annotated[int, Field(ge=0)] = 3
    cache_megabytes: Annotated[float, Field(ge=0)] = 0.0


class SessionSection(Section):
    """How much is kept of a run, and how it looks after itself.

    Args:
        raw: Drives and responses that are kept as they were: none, all, or a share of the rows, above 0 and below 1.
        checkpoint_seconds: Longest time between two checkpoints, in s: what a kill can cost.
        checkpoint_share: One is made after every epoch besides, as long as all of them take no more than this part of
            the run's time.
        sentinels: Drives that each system answers again and again, to tell drift; `auto`: 8 where systems are measured.
        sentinel_tolerance: Largest change of the answers with which a run is resumed, as a fraction of how much they
            differ from each other.
        wait_for_room: Longest wait for room on a full disk, in s.
        dark_rows: Rows without drive that are placed at random among those of each presentation, to tell the offset.
        reference_rows: Rows of drives that never change, likewise, to tell the gain.
    """

    raw: Literal["none", "all"] | Fraction = "none"
    checkpoint_seconds: Positive = 30.0
    checkpoint_share: Annotated[float, Field(gt=0, le=1)] = 0.01
    sentinels: Annotated[int, Field(ge=0, le=1024)] | Literal["auto"] = "auto"
    sentinel_tolerance: Positive = 0.2
    wait_for_room: Annotated[float, Field(ge=0)] = 600.0
    dark_rows: Annotated[int, Field(ge=0, le=64)] = 0
    reference_rows: Annotated[int, Field(ge=0, le=64)] = 0


class OutputSection(Section):
    """Where the session goes.

    Args:
        folder: Folder of all runs.
        name: Name of this run's folder; made of the experiment's name and the time when None.
    """

    folder: Name = "runs"
    name: Name | None = None


ControlName = Literal[
    "physics_zeroed",
    "random_projection",
    "band_energies",
    "responses_shuffled",
    "linear_readout",
    "raw_logistic_regression",
    "one_layer_less",
    "skip_alone",
]


class ControlsSection(Section):
    """What the network is compared with, and what counts as a difference.

    Declared before the run, and not to be changed after a look at the result.

    Args:
        margin: Difference of test accuracies, 0 to 1, that is worth speaking of: `helps` means better by more.
        repeats: Runs of the network and of each control, each with a seed of its own, from the run's seed on.
        confidence: Of the two-sided intervals.
        which: Controls to run; all that apply when `all`.
        detector: What the random projection puts in the place of the detector; `auto` goes by what the system tells.
        sample_rate: Samples per s of the lowest layer's drive where it is a sound; `band_energies` needs it. None where
            the drive is no sound.
        band_slices: Parts of equal duration that `band_energies` cuts a sound into, each with energies of its own.
    """

    margin: Annotated[float, Field(ge=0, lt=1)] = 0.01
    repeats: Count = 5
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    which: Annotated[tuple[ControlName, ...], Field(min_length=1)] | Literal["all"] = "all"
    detector: Literal["auto", "none", "modulus", "intensity"] = "auto"
    sample_rate: Positive | None = None
    band_slices: Count = 1


class ExperimentFile(Section):
    """What stands in an experiment file.

    Args:
        title: A line for people.
        seed: Seed of everything random.
        data: Samples.
        systems: Physical systems by name.
        layers: From the input upwards.
        network: What belongs to no layer alone.
        rule: The learning rule.
        training: How long, and in which portions.
        output: Where the session goes.
        session: How much is kept, and how the run looks after itself.
        controls: What the network is compared with.
    """

    title: str = ""
    seed: Annotated[int, Field(ge=0)] = 0
    data: DataSection
    systems: Annotated[dict[str, SystemSection], Field(min_length=1)]
    layers: Annotated[tuple[LayerSection, ...], Field(min_length=1)]
    network: NetworkSection = Field(default_factory=NetworkSection)
    rule: RuleSection
    training: TrainingSection
    output: OutputSection = Field(default_factory=OutputSection)
    session: SessionSection = Field(default_factory=SessionSection)
    controls: ControlsSection = Field(default_factory=ControlsSection)


class Experiment(ExperimentFile):
    """A whole experiment, checked: what `load_experiment` returns.

    Args:
        base: Folder that relative paths of the file start from.
        source: Name of the file, as it was asked for.
    """

    base: Path = Path(".")
    source: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values, for a session or JSON; `from_dict` takes it back."""
        return {
            **self.model_dump(mode="json", exclude={"systems", "rule"}),
            "systems": {name: section.as_dict() for name, section in self.systems.items()},
            "rule": self.rule.as_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, base: Path | None = None) -> Self:
        """Take back what `as_dict` returned.

        The options of systems and rules are not checked again: a session must open where its systems are not
        installed.

        Args:
            values: From `as_dict`, possibly by way of JSON.
            base: Another folder for relative paths to start from, where the run's own has moved.

        Raises:
            ExperimentError: `values` were not written by this version of physnet, or were changed since.
        """
        table = dict(values)
        if base is not None:
            table["base"] = str(base)
        try:
            return cls.model_validate_json(json.dumps(table), strict=True)
        except ValidationError as error:
            found = "\n".join(problem.text for problem in problems_of(error, cls, table))
            raise ExperimentError(f"the recorded configuration can't be read:\n{found}") from error
