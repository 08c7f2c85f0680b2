"""A random network of resistors, capacitors and diodes between voltage sources, read while it charges.

Axis letters: N rows; D drives; V nodes; S moments; R responses.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from physnet.contracts import Cost, DriveSpec, Passes, PhysicalSystem, Reading, ResponseSpec, SystemSpec
from physnet.errors import MeasurementError, SpecError
from physnet.viewing.contract import FRAMES, PIXELS, Viewable
from physnet.viewing.picture import Field as Frames
from physnet.viewing.picture import Geometry

from .diode_circuit import Circuit, Diode, random_circuit
from .diode_solver import DiodeSolver, decay_error
from .diode_view import DiodeView
from .numerics_warning import NumericsWarning

_HEIGHT = 32  # rows of a tile: always this many, so that a row's bits don't depend on how many there are


# Half of what a converter of 8 bits resolves of the range from minus to plus the voltage.
_MOST_ERROR = 1 / 256


@dataclass(frozen=True, kw_only=True, eq=False)
class DiodeNumerics:
    """How well drives of your choice are computed.

    Args:
        step_error_N: Largest error of a row's voltages in V, from 4/3 of the change when each step is halved.
        decay_error: The largest error at the first moment of a voltage that decays, at whatever rate, relative to where
            it began.
        steps_per_moment: Steps between two moments.
    """

    step_error_N: NDArray[np.float64]
    decay_error: float
    steps_per_moment: int


class DiodeNetwork(PhysicalSystem, Viewable):
    """Nodes with capacitors, joined by resistors and diodes; the drive is the voltages of the sources.

    Each row begins with all capacitors empty. The sources are switched on, and the voltages of nodes are read at
    equally spaced moments until the end of the window. Sources are differential, with a resistor to either pole of one:
    a passive network could not change a sign otherwise. A node's voltage is a mean of what its resistors lead to, of
    either sign; diodes clamp the differences between nodes to a few tenths of a volt in one direction. Without diodes
    the network is linear.

    The method is of order 2 in the step and stable for any. A `NumericsWarning` tells if a decaying voltage may be off
    by more than 1/256 of its beginning at the first moment; `numerics` estimates the error of any drive.

    A row's response has the same bits wherever it stands in a batch and for any number of torch threads.

    Defaults: 10 kiloohm and 10 nF (100 us), values that scatter by half, diodes 1N914 at 300 K, a window of 300 us in
    which no node quite settles. A row costs some milliseconds of computing, for the most part small equations of the
    diodes: their number, cubed, times the steps.

    Args:
        drives: Sources.
        responses: Nodes that are read, times moments.
        nodes: None for as many as are read.
        taps: Resistors from each node to sources.
        links: Resistors from each node to others.
        diodes: Between random pairs of nodes, or a node and ground.
        moments: Readings of a node within the window.
        voltage: Largest of a source, V; drives go from minus to plus this.
        resistance: Typical value of a resistor, ohm.
        capacitance: Typical value of a capacitor, F.
        spread: Standard deviation of the logarithm of all values.
        saturation: Saturation current of a diode, A.
        ideality: Ideality of a diode.
        temperature: K.
        window: Time from switching on to the last reading, s.
        steps: Of the integrator, a multiple of the moments.
        seed: Seed of the network.
        seconds_per_pass: Declared cost of a row in s; None for four windows, in which the capacitors empty as well.
        name: Name in the spec.

    Raises:
        SpecError: An argument is out of its range, or two don't fit.

    Source:
        `diode_circuit` (equation) and `diode_solver` (method) name theirs.
    """

    example: ClassVar[Mapping[str, Any]] = {"drives": 8, "responses": 24}
    """Options of one to look at."""

    def __init__(
        self,
        *,
        drives: Annotated[int, Field(ge=1)],
        responses: Annotated[int, Field(ge=1)],
        nodes: Annotated[int, Field(ge=1)] | None = None,
        taps: Annotated[int, Field(ge=1)] = 3,
        links: Annotated[int, Field(ge=0)] = 1,
        diodes: Annotated[int, Field(ge=0)] = 32,
        moments: Annotated[int, Field(ge=1)] = 2,
        voltage: Annotated[float, Field(gt=0)] = 3.0,
        resistance: Annotated[float, Field(gt=0)] = 10e3,
        capacitance: Annotated[float, Field(gt=0)] = 10e-9,
        spread: Annotated[float, Field(ge=0)] = 0.5,
        saturation: Annotated[float, Field(gt=0)] = 2.52e-9,
        ideality: Annotated[float, Field(ge=1)] = 1.752,
        temperature: Annotated[float, Field(gt=0)] = 300.0,
        window: Annotated[float, Field(gt=0)] = 300e-6,
        steps: Annotated[int, Field(ge=1)] = 20,
        seed: Annotated[int, Field(ge=0)] = 0,
        seconds_per_pass: Annotated[float, Field(ge=0)] | None = None,
        name: str = "diode_network",
    ) -> None:
        counts = {"drives": drives, "responses": responses, "taps": taps, "moments": moments, "steps": steps}
        for label, count in counts.items():
            if count < 1:
                raise SpecError(f"{label} of {name} must be >= 1, got {count}.")
        positive = {"voltage": voltage, "resistance": resistance, "capacitance": capacitance, "window": window}
        for label, value in positive.items():
            if not 0 < value < math.inf:
                raise SpecError(f"{label} of {name} must be > 0, got {value}.")
        if responses % moments or steps % moments:
            raise SpecError(
                f"responses and steps of {name} must be multiples of its {moments} moments, got {responses} and "
                f"{steps}."
            )
        read = responses // moments
        nodes = read if nodes is None else nodes
        if nodes < read or not links >= 0 or not 0 <= diodes <= nodes * (nodes + 1) or not 0 <= spread < math.inf:
            raise SpecError(
                f"nodes of {name} must be >= {read}, links and spread >= 0, and diodes 0 to {nodes * (nodes + 1)}, one "
                f"on each pair and direction, got {nodes}, {links}, {spread} and {diodes}."
            )
        self._circuit = random_circuit(
            nodes=nodes, sources=drives, taps=taps, links=links, diodes=diodes, resistance=resistance,
            capacitance=capacitance, spread=spread, rng=np.random.Generator(np.random.Philox(seed)),
            diode=Diode(saturation=saturation, ideality=ideality, temperature=temperature),
        )  # fmt: skip
        self._solver = DiodeSolver(self._circuit, duration=window, steps=steps)
        self._error = decay_error(steps // moments)
        if not self._error <= _MOST_ERROR:
            warnings.warn(
                f"{name}: {steps // moments} steps until the first moment leave an error of up to {self._error:.2%} of "
                f"a voltage (at most {_MOST_ERROR:.2%} is fine). Take more steps.",
                NumericsWarning,
                stacklevel=2,
            )
        self._read, self._moments = read, moments
        self._view = DiodeView(circuit=self._circuit, read=read, moments=moments, window=window)
        constants = self._circuit.time_constants()
        nonlinearity: frozenset[Literal["medium", "detector", "digital"]] = frozenset({"medium"} if diodes else set())
        self._spec = SystemSpec(
            name=name,
            kind="simulated",
            drive=DriveSpec(shape=(drives,), low=-voltage, high=voltage, unit="V", axes=("source",)),
            response=ResponseSpec(shape=(responses,), unit="V", dtype="float32", axes=("response",)),
            nonlinearity=nonlinearity,
            repeatable=True,
            reproducible=True,
            cost=Cost(per_pass=4 * window if seconds_per_pass is None else seconds_per_pass),
            identity={
                "model": "DiodeNetwork", "seed": seed, "nodes": nodes, "diodes": diodes, "taps": taps, "links": links,
                "moments": moments, "resistance": resistance, "capacitance": capacitance, "spread": spread,
                "saturation": saturation, "ideality": ideality, "temperature": temperature, "window": window,
                "steps": steps, "fastest": float(constants[0]), "slowest": float(constants[-1]),
            },
        )  # fmt: skip

    @property
    def spec(self) -> SystemSpec:
        """The network's description of itself."""
        return self._spec

    @property
    def circuit(self) -> Circuit:
        """Its equation."""
        return self._circuit

    def geometry(self) -> Geometry:
        """Return a drawing of the circuit."""
        return self._view.geometry()

    def field(self, drive: NDArray[Any], *, frames: int = FRAMES, pixels: int = PIXELS) -> Frames:
        """Return the voltages of the nodes over time for one row; see `Viewable`.

        Raises:
            MeasurementError: The diodes found no solution.
        """
        padded = np.zeros((_HEIGHT, *self._spec.drive.shape))
        padded[0] = drive
        steps, moments = self._solver.steps, self._moments
        # As many moments as can be kept, those of the readings among them.
        most = max(moments, min(steps, pixels // len(self._circuit.capacitance_V)))
        times = max(n for n in range(moments, most + 1, moments) if steps % n == 0)
        voltage_SV = self._solver.run(padded, times=times)[0]
        voltage_FV = np.concatenate((np.zeros((1, voltage_SV.shape[1])), voltage_SV))
        at_F = self._solver.duration * np.arange(times + 1) / times
        kept_F = np.unique(np.linspace(0, times, max(2, min(frames, times + 1))).round().astype(int))
        read_SV = voltage_SV[times // moments - 1 :: times // moments, : self._read]
        return self._view.field(voltage_FV, at_F, kept_F, read_SV.ravel().astype(np.float32))

    def measure(self, drive: NDArray[np.float64], passes: Passes) -> Reading:
        """Switch rows of sources on, shape `(n, drives)`, V, and read the nodes, the first moment first.

        Raises:
            MeasurementError: The diodes of a row found no solution. It carries the rows before.
        """
        started = time.time()
        rows = len(drive)
        padded = np.zeros((-(-rows // _HEIGHT) * _HEIGHT, *self._spec.drive.shape))
        padded[:rows] = drive
        tiles = np.split(padded, len(padded) // _HEIGHT)
        parts: list[NDArray[np.float32]] = []
        with ThreadPoolExecutor(min(torch.get_num_threads(), len(tiles))) as pool:
            results = [pool.submit(self._respond, tile) for tile in tiles]
            for number, result in enumerate(results):
                try:
                    parts.append(result.result())
                except MeasurementError as error:
                    reading = Reading(response=np.concatenate(parts), started=started) if parts else None
                    raise MeasurementError(
                        f"{self._spec.name}, from row {number * _HEIGHT}: {error}", reading=reading
                    ) from error
        response_NR = np.concatenate(parts)[:rows]
        return Reading(response=response_NR, started=started, stopped=time.time())

    def numerics(self, drive: NDArray[np.float64]) -> DiodeNumerics:
        """Solve rows of sources with steps half as long, and return how well those of `measure` do."""
        solver = self._solver
        finer = DiodeSolver(self._circuit, duration=solver.duration, steps=2 * solver.steps)
        drive_ND = np.asarray(drive, dtype=np.float64)
        ends = [one.run(drive_ND, times=self._moments)[..., : self._read] for one in (solver, finer)]
        return DiodeNumerics(
            step_error_N=np.abs(ends[1] - ends[0]).max((1, 2)) * 4 / 3,
            decay_error=self._error,
            steps_per_moment=solver.steps // self._moments,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Nothing to make safe."""

    def _respond(self, drive_ND: NDArray[np.float64]) -> NDArray[np.float32]:
        voltage_NSV = self._solver.run(drive_ND, times=self._moments)
        return np.ascontiguousarray(voltage_NSV[..., : self._read].reshape(len(drive_ND), -1).astype(np.float32))
