"""A single nonlinear node with delayed feedback, read out as many virtual nodes one after the other in time.

Axis letters: N rows; D drives; V virtual nodes; K steps in time; T points in time.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping
from types import TracebackType
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from physnet.contracts import (
    Cost,
    Differentiable,
    DriveSpec,
    Passes,
    PhysicalSystem,
    Reading,
    ResponseSpec,
    Stateful,
    SystemSpec,
)
from physnet.errors import SessionError, SpecError
from physnet.viewing.contract import FRAMES, PIXELS, Viewable
from physnet.viewing.picture import Field as Frames
from physnet.viewing.picture import Geometry

from .delay_loop import DelayLoop, Ikeda, LoopNumerics, MackeyGlass, Nonlinearity
from .delay_view import DelayView
from .keyed import keyed_uniform
from .lone_threads import lone_threads
from .numerics_warning import NumericsWarning
from .own_gradient import with_gradient

_HEIGHT = 32  # rows of a tile: always this many, so that a row's bits don't depend on how many there are
_LEAST = 16  # columns of a product: with fewer a row's last digits depend on its place
_MASK = 1  # stream of keyed_uniform
_MOST_LINEAR_ERROR = 0.01  # a round number: steps of 0.28 time constants


class ElectronicNode(PhysicalSystem, Stateful, Differentiable, Viewable):
    """A delay line, a low pass and one nonlinear element: a network of as many nodes as fit into the delay.

    `tau dx/dt = -x(t) + F(x(t - T) + J(t))` with `F(s) = beta sin^2(s + phi)` (Ikeda: an interferometer) or
    `eta s / (1 + |s|^p)` (Mackey-Glass: an electronic circuit). The input holds a value for the time of a virtual node,
    `J_v = gain / sqrt(drives) sum_d mask_vd drive_d`, with a mask of signs or of uniform numbers that the seed fixes;
    this product is digital. A virtual node is the signal at the end of its time. It hears itself one delay earlier, the
    nodes before it through the low pass, and with `shift` a node that much earlier in its row.

    A row is played `loops` times over and read in the last. Without `memory` the loop is open between rows until it is
    silent. With it a row begins in what the row before left, in the order of play: the usual reservoir computer, whose
    samples are a time series. Rows are then computed one by one.

    The method is of order 2 in the step. A step longer than half of `tau` is refused, and a `NumericsWarning` tells of
    one that may leave out more than 1 % of a signal that changes in `tau`; `numerics` estimates the error of any drive.

    Without memory a row's response has the same bits wherever it stands in a batch, for any number of torch threads.
    With memory `forward` has the gradient through all rows of its batch, and none before.

    Defaults are of the order of the sources' optoelectronic loop: a time constant of 240 ns and a fifth of it for a
    node, so that 200 nodes make a delay of 9.6 us; feedback and bias far below the first instability, which comes at a
    slope of -1 or 1, where a loop at rest has 0.27.

    Args:
        drives: Channels of the drive.
        responses: Virtual nodes.
        form: `ikeda` or `mackey_glass`.
        feedback: `beta` or `eta`, > 0.
        bias: `phi` in rad. Ikeda only; 0.2 pi unless given.
        exponent: `p`, >= 1. Mackey-Glass only; 1 unless given.
        gain: Of the input.
        signed: Drives from -1 to 1 instead of 0 to 1.
        mask: `signs` or `uniform` (-1 to 1).
        tau: Time constant of the low pass, s.
        spacing: Time of a virtual node, s.
        shift: Nodes by which the delay is longer than a row.
        loops: Times that a row is played.
        memory: Whether a row begins in what the row before left.
        substeps: Steps of time in a virtual node.
        seed: Seed of the mask.
        seconds_per_pass: Declared cost of a row in s; None for its duration.
        name: Name in the spec.

    Raises:
        SpecError: An argument is out of its range, or belongs to the other form.

    Source:
        L. Larger et al., Photonic information processing beyond Turing: an optoelectronic implementation of reservoir
        computing, Opt. Express 20, 3241 (2012) (Ikeda form); L. Appeltant et al., Information processing using a single
        dynamical node as complex system, Nat. Commun. 2, 468 (2011) (Mackey-Glass form, masks, virtual nodes).
    """

    example: ClassVar[Mapping[str, Any]] = {"drives": 16, "responses": 60}
    """Options of one to look at."""

    def __init__(
        self,
        *,
        drives: Annotated[int, Field(ge=1)],
        responses: Annotated[int, Field(ge=1)],
        form: Literal["ikeda", "mackey_glass"] = "ikeda",
        feedback: Annotated[float, Field(gt=0)] = 0.8,
        bias: float | None = None,
        exponent: Annotated[float, Field(ge=1)] | None = None,
        gain: Annotated[float, Field(gt=0)] = 1.0,
        signed: bool = False,
        mask: Literal["signs", "uniform"] = "signs",
        tau: Annotated[float, Field(gt=0)] = 240e-9,
        spacing: Annotated[float, Field(gt=0)] = 48e-9,
        shift: Annotated[int, Field(ge=0)] = 0,
        loops: Annotated[int, Field(ge=1)] = 2,
        memory: bool = False,
        substeps: Annotated[int, Field(ge=1)] = 4,
        seed: Annotated[int, Field(ge=0)] = 0,
        seconds_per_pass: Annotated[float, Field(ge=0)] | None = None,
        name: str = "electronic_node",
    ) -> None:
        counts = {"drives": drives, "responses": responses, "loops": loops, "substeps": substeps, "shift": shift}
        for label, count in counts.items():
            least = 0 if label == "shift" else 1
            if count < least:
                raise SpecError(f"{label} of {name} must be >= {least}, got {count}.")
        if mask not in ("signs", "uniform"):
            raise SpecError(f"mask of {name} must be signs or uniform, got {mask!r}.")
        for label, value, unit in (("gain", gain, ""), ("spacing", spacing, "s")):
            if not 0 < value < math.inf:
                raise SpecError(f"{label} of {name} must be > 0 {unit}".rstrip() + f", got {value}.")
        element = _element(name, form, feedback, bias, exponent)
        self._loop = DelayLoop(element, tau=tau, step=spacing / substeps, delay=(responses + shift) * substeps)
        if not self._loop.linear_error <= _MOST_LINEAR_ERROR:
            warnings.warn(
                f"{name}: steps of {self._loop.step / tau:.3g} time constants leave out up to "
                f"{self._loop.linear_error:.2%} of the fed-back signal (at most {_MOST_LINEAR_ERROR:.0%} is fine). "
                "More substeps of a virtual node make them shorter.",
                NumericsWarning,
                stacklevel=2,
            )
        self._tau = tau
        self._substeps, self._loops, self._memory = substeps, loops, memory
        uniform_VD = keyed_uniform(seed, np.arange(responses, dtype=np.int64), drives, stream=_MASK).double()
        mask_VD = 2 * uniform_VD - 1
        if mask == "signs":
            mask_VD = torch.where(mask_VD < 0, -1.0, 1.0).double()
        self._mask_VD = mask_VD * (gain / math.sqrt(drives))
        missing = max(0, _LEAST - responses)
        self._input_DV = torch.nn.functional.pad(self._mask_VD.T, (0, missing)).contiguous()
        self._history_TN = self._loop.rest(1)
        self._view = DelayView(
            loop=self._loop, element=element, mask_VD=self._mask_VD, low=-1.0 if signed else 0.0, high=1.0,
            substeps=substeps, loops=loops,
        )  # fmt: skip
        duration = loops * responses * spacing
        self._spec = SystemSpec(
            name=name,
            kind="simulated",
            drive=DriveSpec(
                shape=(drives,), low=-1.0 if signed else 0.0, dtype="float32",
                domain="real" if signed else "non_negative", axes=("drive",),
            ),
            response=ResponseSpec(shape=(responses,), dtype="float32", axes=("node",)),
            nonlinearity=frozenset({"medium"}),
            repeatable=not memory,
            reproducible=not memory,
            stateful=memory,
            cost=Cost(per_pass=duration if seconds_per_pass is None else seconds_per_pass),
            array="torch",
            identity={
                "model": "ElectronicNode", "element": repr(element), "gain": gain, "mask": mask, "tau": tau,
                "spacing": spacing, "delay": self._loop.delay * self._loop.step, "loops": loops, "memory": memory,
                "substeps": substeps, "seed": seed,
            },
        )  # fmt: skip

    @property
    def spec(self) -> SystemSpec:
        """The node's description of itself."""
        return self._spec

    @property
    def mask(self) -> torch.Tensor:
        """A copy of what a drive of 1 adds to the input of each node, shape `(responses, drives)`."""
        return self._mask_VD.clone()

    def measure(self, drive: torch.Tensor, passes: Passes) -> Reading:
        """Play rows of `drive`, shape `(n, drives)`, and read the virtual nodes. There is no noise."""
        started = time.time()
        with torch.no_grad():
            response_NV = self._play(drive.detach())
        return Reading(response=response_NV, started=started, stopped=time.time())

    def forward(self, drive: torch.Tensor, passes: Passes) -> torch.Tensor:
        """Return the response with its graph: the same numbers as `measure`, remembered alike."""
        begin_TN = self._history_TN

        def pull_back(drive_ND: torch.Tensor, slope_NV: torch.Tensor) -> torch.Tensor:
            with torch.enable_grad():
                leaf = drive_ND.detach().requires_grad_()
                response_NV = self._in_turn(leaf, begin_TN)[0] if self._memory else self._together(leaf)
                return torch.autograd.grad(response_NV, leaf, slope_NV)[0]

        return with_gradient(drive, self._play, pull_back)

    def signal(self, drive: torch.Tensor) -> torch.Tensor:
        """Return `x` after each step of each row from silence, shape `(n, steps)`: for plots and checks."""
        with torch.no_grad():
            drive_ND = drive.detach()
            trace_TN = self._loop.run(self._loop.rest(len(drive_ND)), self._input(drive_ND))
            return trace_TN[self._loop.delay + 1 :].T

    def geometry(self) -> Geometry:
        """Return the mask and the nonlinearity."""
        return self._view.geometry()

    def field(self, drive: NDArray[Any], *, frames: int = FRAMES, pixels: int = PIXELS) -> Frames:
        """Return what is in the delay line over time for one row; see `Viewable`."""
        with torch.no_grad():
            row_ND = torch.from_numpy(drive).to(torch.float32)[None]
            begin_TN = self._history_TN
            if not self._memory:  # as many rows as in a call
                row_ND = torch.nn.functional.pad(row_ND, (0, 0, 0, _HEIGHT - 1))
                begin_TN = self._loop.rest(_HEIGHT)
            input_KN = self._input(row_ND)
            trace_TN = self._loop.run(begin_TN, input_KN)
            response_NV = self._nodes(trace_TN)
        return self._view.field(trace_TN[:, 0], input_KN[:, 0], response_NV[0], frames=frames, pixels=pixels)

    def numerics(self, drive: torch.Tensor) -> LoopNumerics:
        """Play rows from silence with steps half as long, and return how well those of `measure` do."""
        loop, substeps = self._loop, self._substeps
        finer = DelayLoop(loop.element, tau=self._tau, step=loop.step / 2, delay=2 * loop.delay)
        with torch.no_grad():
            input_KN = self._input(drive.detach())
            coarse_TN = loop.run(loop.rest(len(drive)), input_KN)
            fine_TN = finer.run(finer.rest(len(drive)), input_KN.repeat_interleave(2, dim=0))
            last = len(self._mask_VD) * substeps
            coarse_VN = coarse_TN[-last:][substeps - 1 :: substeps]
            change_VN = coarse_VN - fine_TN[-2 * last :][2 * substeps - 1 :: 2 * substeps]
        return LoopNumerics(
            step_error_N=change_VN.abs().amax(0).numpy() * 4 / 3,
            linear_error=loop.linear_error,
            steps_per_time_constant=self._tau / loop.step,
        )

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Return what is in the loop."""
        return {"history": self._history_TN[:, 0].numpy().copy()} if self._memory else {}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Put back what `state` returned.

        Raises:
            SessionError: `state` lacks the history, or it has another length.
        """
        if not self._memory:
            return
        points = self._loop.delay + 1
        if "history" not in state or np.shape(state["history"]) != (points,):
            found = np.shape(state["history"]) if "history" in state else "nothing"
            raise SessionError(
                f"a state of {self._spec.name} must hold history of shape ({points},), got {found}. Another system "
                "saved it."
            )
        self._history_TN = torch.from_numpy(np.array(state["history"], np.float64))[:, None]

    def reset(self) -> None:
        """Silence."""
        self._history_TN = self._loop.rest(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Nothing to make safe."""

    def _play(self, drive_ND: torch.Tensor) -> torch.Tensor:
        """Return the responses, and remember."""
        if self._memory:
            response_NV, self._history_TN = self._in_turn(drive_ND, self._history_TN)
            return response_NV
        rows = len(drive_ND)
        padded = torch.nn.functional.pad(drive_ND, (0, 0, 0, -rows % _HEIGHT))
        tiles = torch.split(padded, _HEIGHT)

        def work(tile: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():  # a setting of each thread
                return self._together(tile)

        with lone_threads(min(torch.get_num_threads(), len(tiles))) as pool:
            return torch.cat(list(pool.map(work, tiles)))[:rows]

    def _together(self, drive_ND: torch.Tensor) -> torch.Tensor:
        """Return the responses of rows that each begin in silence."""
        trace_TN = self._loop.run(self._loop.rest(len(drive_ND)), self._input(drive_ND))
        return self._nodes(trace_TN)

    def _in_turn(self, drive_ND: torch.Tensor, history_TN: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the responses of rows that follow each other, and the history after them."""
        parts = []
        for row in range(len(drive_ND)):
            trace_TN = self._loop.run(history_TN, self._input(drive_ND[row : row + 1]))
            parts.append(self._nodes(trace_TN))
            history_TN = trace_TN[-self._loop.delay - 1 :]
        return torch.cat(parts), history_TN

    def _input(self, drive_ND: torch.Tensor) -> torch.Tensor:
        """Return `J` of each step, shape `(steps, n)`."""
        input_NV = (drive_ND.double() @ self._input_DV)[:, : len(self._mask_VD)]
        return input_NV.repeat_interleave(self._substeps, dim=1).repeat(1, self._loops).T.contiguous()

    def _nodes(self, trace_TN: torch.Tensor) -> torch.Tensor:
        """Return the signal at the end of each node of the last loop, shape `(n, nodes)`."""
        last_KN = trace_TN[-len(self._mask_VD) * self._substeps :]
        return last_KN[self._substeps - 1 :: self._substeps].T.float()


def _element(name: str, form: str, feedback: float, bias: float | None, exponent: float | None) -> Nonlinearity:
    if form == "ikeda":
        if exponent is not None:
            raise SpecError(f"exponent of {name} must be left out with the form ikeda, got {exponent}.")
        return Ikeda(beta=feedback, phi=0.2 * math.pi if bias is None else bias)
    if form == "mackey_glass":
        if bias is not None:
            raise SpecError(f"bias of {name} must be left out with the form mackey_glass, got {bias} rad.")
        return MackeyGlass(eta=feedback, p=1.0 if exponent is None else exponent)
    raise SpecError(f"form of {name} must be ikeda or mackey_glass, got {form!r}.")
