"""One training of a comparison: what is trained, on what and for how long, and its name by content."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from ..experiment import Experiment
from ..fingerprint import code_of

Kind = Literal[
    "rule",
    "linear_readout",
    "raw_logistic_regression",
    "digital_network",
    "backpropagation",
    "physics_aware",
    "in_silico",
]
BASELINES: Mapping[str, str] = {
    "raw_logistic_regression": "softmax regression on the samples themselves",
    "linear_readout": "softmax regression on what the first layer measures, labels never presented",
    "digital_network": "backpropagation on the samples themselves, with as many multiply-adds per inference",
    "backpropagation": "the network trained end to end: the system answers, its simulator has the gradient",
    "physics_aware": "the network trained end to end: the system answers, a fitted twin has the gradient",
    "in_silico": "the network trained end to end on fitted twins alone, and tested on the system",
}
"""What can stand beside the rules, and what it is."""
CHEAP = ("raw_logistic_regression", "linear_readout", "digital_network")
"""Baselines that stand there unless others are asked for."""
THROUGH = frozenset({"backpropagation", "physics_aware", "in_silico"})
"""Baselines that are trained end to end through a model of the physics."""

_PASSIVE = frozenset({"title", "output", "session", "controls", "base", "source"})
_DECIDED_HERE = frozenset({"validate_every", "patience", "budget_passes", "budget_minutes"})


@dataclass(frozen=True, kw_only=True)
class Task:
    """A training that is to be done.

    Args:
        kind: A rule, or one of the baselines.
        name: What it is called in tables; not part of what it is.
        experiment: The experiment with its rule and seed, as plain values.
        passes_per_sample: Passes that the rule takes to learn from a sample; 0 for baselines.
        budget: Most training passes; None trains for the experiment's epochs.
        every: Training passes between two validations.
        hidden: Hidden layers' widths of the digital network.
        epochs: Epochs of a network that is trained by backpropagation.
        work: Multiply-adds of a baseline to classify a sample; told, not decisive.
        test: Whether the test split is measured at the end. A choice among options must not see it.
        checksum: Of the data.
    """

    kind: Kind
    name: str
    experiment: Mapping[str, Any]
    passes_per_sample: int = 0
    budget: int | None = None
    every: int = 0
    hidden: tuple[int, ...] = ()
    epochs: int = 0
    work: int | None = None
    test: bool = True
    checksum: str = ""

    @property
    def seed(self) -> int:
        """Seed of everything."""
        return int(self.experiment["seed"])

    @functools.cached_property
    def digest(self) -> str:
        """Hash of all that decides the result: equal tasks are done once, whoever asks for them.

        Paths are left out and what they lead to is in: the data by their checksum, a `bench.py` by its hash, files that
        systems read by size and time of change.
        """
        decides = {"kind": self.kind, "checksum": self.checksum, "test": self.test, **self._decides()}
        if self.kind in THROUGH | {"rule", "linear_readout"}:
            decides |= {"code": self._code(), "files": self._files()}
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    def as_json(self) -> str:
        """Return it as text, for another process; `from_json` takes it back."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Take back what `as_json` returned."""
        values = json.loads(text)
        return cls(**{**values, "hidden": tuple(values["hidden"])})

    def _code(self) -> dict[str, str]:
        """Hash each Python file that a system is in."""
        if not any(".py" in str(system["type"]) for system in self.experiment["systems"].values()):
            return {}
        code = code_of(Experiment.from_dict(self.experiment))
        return {name: value for name, value in code.items() if name != "physnet"}

    def _files(self) -> dict[str, list[int]]:
        """Return size and time of change of each file that an option of a system names."""
        found = {}
        for name, system in self.experiment["systems"].items():
            for key, value in system.items():
                path = Path(self.experiment["base"], value) if isinstance(value, str) and key != "type" else None
                if path is not None and path.is_file():
                    status = path.stat()
                    found[f"{name}.{key}"] = [status.st_size, status.st_mtime_ns]
        return found

    def _decides(self) -> dict[str, Any]:
        table = {key: value for key, value in self.experiment.items() if key not in _PASSIVE}
        table["data"] = {key: value for key, value in table["data"].items() if key != "path"}
        training = {key: value for key, value in table["training"].items() if key not in _DECIDED_HERE}
        if self.budget is not None:
            training.pop("epochs")
        match self.kind:
            case "rule":
                own: dict[str, Any] = {"budget": self.budget, "every": self.every}
                return {**table, "training": training, **own, "passes_per_sample": self.passes_per_sample}
            case "backpropagation" | "physics_aware" | "in_silico":
                own = {"every": self.every, "epochs": self.epochs, "decay": "cosine"}
                return {**table, "training": {**training, **own}}
            case "linear_readout":
                return {**table, "training": {"evaluation_batch": training["evaluation_batch"]}}
            case "digital_network":
                own = {"hidden": list(self.hidden), "epochs": self.epochs, "decay": "cosine"}
                return {"data": table["data"], "seed": self.seed, "batch_size": training["batch_size"], **own}
            case "raw_logistic_regression":
                return {"data": table["data"], "seed": self.seed}
