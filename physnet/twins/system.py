"""A twin as a system: what a model that was fitted to recorded rows answers. Never a measurement."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import torch

from ..contracts import Cost, Differentiable, Passes, PhysicalSystem, Reading, SystemSpec
from .fit import Twin
from .model import Evaluator, describe_nonlinearity
from .storage import load_twin


class TwinSystem(PhysicalSystem, Differentiable):
    """A digital stand-in for a system, fitted to its raw data by `physnet twin`.

    It answers what its model computes, without noise, also to drives far from any that were recorded: how well is told
    by its held-out error, for drives like those of the run. Sessions and printouts call it a twin.

    A row's response has the same bits wherever it stands in a batch.

    Args:
        path: File that `physnet twin` wrote. In an experiment, a relative path starts from the experiment's folder.
        device: torch device.
        name: Name in sessions and messages.

    Raises:
        SessionError: The file is missing, damaged, or no twin.
    """

    def __init__(self, *, path: Path, device: str = "cpu", name: str = "twin") -> None:
        twin, digest = load_twin(Path(path))
        self._take(twin, digest, device=device, name=name)

    @classmethod
    def of(cls, twin: Twin, *, device: str = "cpu", name: str = "twin") -> Self:
        """Make one of a twin that was just fitted and is in no file."""
        made = cls.__new__(cls)
        made._take(twin, "", device=device, name=name)
        return made

    def _take(self, twin: Twin, digest: str, *, device: str, name: str) -> None:
        recorded = twin.spec
        self._evaluate = Evaluator(twin.model, recorded.drive, device)
        self._spec = dataclasses.replace(
            recorded,
            name=name,
            kind="twin",
            response=dataclasses.replace(
                recorded.response, dtype="complex64" if twin.model.head == "complex" else "float32", full_scale=None
            ),
            nonlinearity=describe_nonlinearity(recorded, twin.model),
            repeatable=True,
            reproducible=True,
            stateful=False,
            cost=Cost(),
            resource="",
            max_batch=None,
            array="torch",
            device=device,
            identity={
                "twin_of": twin.system,
                "recorded_kind": recorded.kind,
                "recorded_identity": dict(recorded.identity),
                "model": twin.model.kind,
                "detector": twin.model.head,
                "held_out_error": twin.report.error,
                "sha256": digest,
                **twin.source,
            },
        )

    @property
    def spec(self) -> SystemSpec:
        """What the recorded system said of itself, and what its twin is made of."""
        return self._spec

    def measure(self, drive: torch.Tensor, passes: Passes) -> Reading:
        """Compute the responses to `drive`, shape `(n, *drive_shape)`. No noise: pass numbers change nothing."""
        started = time.time()
        with torch.no_grad():
            response = self.forward(drive, passes)
        return Reading(response=response, started=started, stopped=time.time())

    def forward(self, drive: torch.Tensor, passes: Passes) -> torch.Tensor:
        """Return the response with its graph: the same numbers as `measure`."""
        return self._evaluate(drive).reshape(len(drive), *self._spec.response.shape)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Nothing to make safe."""
