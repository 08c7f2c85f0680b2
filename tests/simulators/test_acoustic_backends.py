"""Who steps the acoustic field, and the solver that launches graphs: on the CPU with the recording taken out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from physnet.errors import MeasurementError, SpecError
from physnet.simulators import acoustic_backends, acoustic_graph
from physnet.simulators.acoustic import AcousticCavity
from physnet.simulators.acoustic_backends import choose, make_solver
from physnet.simulators.acoustic_graph import GraphSolver
from physnet.simulators.acoustic_numba import is_available
from physnet.simulators.acoustic_solver import FieldState
from physnet.simulators.acoustic_torch import TorchSolver

from .test_acoustic_cuda import MICROPHONES, SOURCES, make_scheme

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
PLACES: dict[str, Any] = {"sources": SOURCES, "microphones": MICROPHONES}


def _played_again(work: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """Stand in for a recording: do the work again."""

    def again() -> None:
        work()

    work()  # as a recording does, so that nothing may be left of it
    return again


@pytest.fixture
def unrecorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acoustic_graph, "record", _played_again)


@pytest.mark.parametrize("steps", [1, 7, 64, 131])
@pytest.mark.parametrize(("sides", "uniform", "kind"), [("one of each", False, "all"), ("absorbing", True, "none")])
def test_a_graph_does_what_the_plain_solver_does(
    unrecorded: None, steps: int, sides: str, uniform: bool, kind: str
) -> None:
    scheme = make_scheme((20, 22), 4, sides, uniform=uniform, kind=kind)
    source = np.random.default_rng(0).standard_normal((5, len(SOURCES), steps))
    plain, graph = (make(scheme, device=CPU, **PLACES) for make in (TorchSolver, GraphSolver))
    for _ in range(2):  # the second time on memory in which the first time is left
        expected, end = plain.propagate(source, keep=True)
        found, graph_end = graph.propagate(source, keep=True)
        assert end is not None and graph_end is not None
        assert np.array_equal(expected, found)
    again = [solver.propagate(source, state)[0] for solver, state in ((plain, end), (graph, graph_end))]
    assert np.array_equal(again[0], again[1])
    inside = np.zeros(scheme.grid.padded, dtype=bool)
    inside[scheme.inside] = True
    for name in FieldState.names():
        one, other = getattr(end, name), getattr(graph_end, name)
        part = (..., inside.ravel()) if name != "resonator_NAR" else ...
        assert np.array_equal(one[part], other[part])


def test_a_graph_names_the_cell_that_runs_away(unrecorded: None) -> None:
    scheme = make_scheme((20, 22), 2, "closed", uniform=True, kind="none")
    scheme.weight_P[:] *= 1.5
    scheme.centre_P[:] = 2 - 4 * scheme.weight_P
    source = np.zeros((3, len(SOURCES), 200))
    source[2, 0, 0] = 1
    graph = GraphSolver(scheme, device=CPU, limit=100.0, **PLACES)
    with pytest.raises(MeasurementError, match=r"row 2 at step \d+ .*smaller time step"):
        graph.propagate(source)


def test_the_fastest_that_can_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    scheme = make_scheme((20, 22), 2, "closed", uniform=True, kind="none")
    options: dict[str, Any] = {"sources": SOURCES, "name": "box"}
    numba = "numba" if is_available() else "torch"
    assert choose("auto", scheme, device=CPU, **options) == numba
    assert choose("torch", scheme, device=CUDA, **options) == "torch"
    monkeypatch.setattr(acoustic_backends, "why_not", lambda device: None)
    monkeypatch.setattr(acoustic_backends, "plan_for", lambda *_, **__: object())
    assert choose("auto", scheme, device=CUDA, **options) == "cuda"
    assert choose("graph", scheme, device=CUDA, **options) == "graph"
    monkeypatch.setattr(acoustic_backends, "plan_for", lambda *_, **__: None)  # no room
    assert choose("auto", scheme, device=CUDA, **options) == "graph"
    with pytest.raises(SpecError, match=r"backend of box .* got 'cuda': a row of \(20, 22\) cells has no room"):
        choose("cuda", scheme, device=CUDA, **options)
    monkeypatch.setattr(acoustic_backends, "why_not", lambda device: "numba-cuda is not installed")
    assert choose("auto", scheme, device=CUDA, **options) == "graph"
    assert choose("auto", scheme, device=torch.device("meta"), **options) == "torch"


@pytest.mark.parametrize(
    ("backend", "message"), [("cuda", "CUDA kernels run on cuda"), ("graph", "graphs are launched on cuda")]
)
def test_a_backend_that_can_not_is_refused_with_the_reason(backend: Any, message: str) -> None:
    with pytest.raises(SpecError, match=f"backend of acoustic .*{message}"):
        AcousticCavity(drives=4, responses=2, route="field", backend=backend)


def test_the_session_tells_what_steps_the_field() -> None:
    by_field = AcousticCavity(drives=4, responses=2, route="field", backend="torch")
    assert by_field.spec.identity["solver"] == "torch"
    assert AcousticCavity(drives=4, responses=2).spec.identity["solver"] == "transfer"


def _answers(backend: Any, device: str) -> Any:
    cavity = AcousticCavity(
        drives=6, responses=4, size=(0.32, 0.3), pitch=0.02, scatterers=1, sources=3, tones=(700.0, 900.0), slot=8e-4,
        slot_spacing=4e-4, ramp=1e-4, route="field", backend=backend, device=device, admittance=0.1,
    )  # fmt: skip
    drive = torch.rand((2, 6), generator=torch.Generator().manual_seed(1))
    return cavity.signals(drive), cavity.spec.identity["solver"]


def test_a_cavity_is_stepped_by_the_kernel(interpreter: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    expected, _ = _answers("torch", "cpu")
    found, solver = interpreter(_answers, "cuda", "cpu")
    assert solver == "cuda"
    assert float(expected.abs().max()) > 1e-6
    # Each step rounds by 2^-24 of the loudest field some ten times; 30 steps add up to at most 30^1.5 = 160 of them.
    assert float((found - expected).abs().max()) < 1e-4 * float(expected.abs().max())


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["cuda", "graph"])
def test_devices_agree_on_what_a_cavity_answers(kind: Any) -> None:
    scheme = make_scheme((97, 108), 4, "one of each", uniform=False, kind="all", layer=12, many=4)
    places: dict[str, Any] = {"sources": 4 * SOURCES, "microphones": 4 * MICROPHONES}
    source = np.random.default_rng(0).standard_normal((40, len(SOURCES), 300))
    expected, _ = TorchSolver(scheme, **places).propagate(source)
    found, _ = make_solver(kind, scheme, device=CUDA, **places).propagate(source)
    # As in `test_acoustic_field`: 2^-24 of the loudest field a step, which grows at most as steps^1.5.
    assert np.abs(found - expected).max() < 2e-5 * np.abs(expected).max()
