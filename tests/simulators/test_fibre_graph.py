"""Stepping a fibre by CUDA graphs: without a device, where nothing is recorded, and on one."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch

from benchmarks.validation_cases.fibre_light import CPU, GRADED, amplitudes, line, solved
from physnet.errors import SpecError
from physnet.simulators import fibre_graph
from physnet.simulators.fibre_graph import LONGEST, GraphPropagator
from physnet.simulators.fibre_kerr import QuadratureKerr
from physnet.simulators.fibre_line import Line
from physnet.simulators.fibre_links import make_junctions
from physnet.simulators.fibre_modes import Modes
from physnet.simulators.fibre_propagators import make_propagator
from physnet.simulators.fibre_pulse import Pulse
from physnet.simulators.fibre_torch import TorchPropagator

PULSE = Pulse(width=1e-12, shape="gaussian", window=5e-12, samples=32)


def both(
    modes: Modes, pulse: Pulse | None, device: torch.device
) -> tuple[Line, tuple[TorchPropagator, GraphPropagator]]:
    junctions = make_junctions(modes, sections=2, coupling=0.3, kink=5e-3, seed=1)
    cut = line(modes, length=1e-3, peak_power=1e6, attenuation=10.0, junction_JMM=junctions, pulse=pulse)
    options: dict[str, Any] = {"dtype": torch.float64, "device": device}
    kerr = QuadratureKerr(modes.factors(), **options)
    return cut, (TorchPropagator(cut, kerr, **options), GraphPropagator(cut, kerr, **options))


@pytest.mark.parametrize("pulse", [None, PULSE])
def test_it_steps_as_the_plain_propagator_does(monkeypatch: pytest.MonkeyPatch, pulse: Pulse | None) -> None:
    lengths: list[int] = []

    def record(work: Any, device: torch.device) -> Callable[[], None]:
        work()
        lengths.append(work.args[1])
        return lambda: work()

    monkeypatch.setattr(fibre_graph, "record", record)
    modes = solved(GRADED, modes=6)
    cut, (plain, graphs) = both(modes, pulse, CPU)
    launched = amplitudes(3, len(modes))
    exact = plain.propagate(launched)
    for _ in range(2):  # the second time nothing is recorded, and what the first one left is overwritten
        assert torch.equal(graphs.propagate(launched), exact)
    assert sorted(lengths) == sorted({min(LONGEST, cut.steps), cut.steps % LONGEST} - {0})
    stops = [cut.steps // 3, cut.steps + 1]
    ways = (solver.stations(launched[0], stops) for solver in (plain, graphs))
    for (_, expected), (_, found) in zip(*ways, strict=True):
        assert torch.equal(found, expected)
    slopes: list[torch.Tensor] = []
    for solver in (plain, graphs):
        leaf = launched[:1].clone().requires_grad_()
        slopes += torch.autograd.grad(solver.propagate(leaf).square().sum(), leaf)
    assert torch.equal(slopes[0], slopes[1])


def test_a_fibre_on_a_cuda_device_is_stepped_by_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    modes = solved(GRADED, modes=3)
    cut = line(modes, length=1e-3, peak_power=1e6)
    with pytest.raises(SpecError, match="got 'graph', which is launched on cuda"):
        make_propagator(cut, modes, kerr="quadrature", backend="graph", device=CPU, name="fibre")
    made: list[torch.device] = []
    module: Any = importlib.import_module("physnet.simulators.fibre_propagators")
    for name in ("QuadratureKerr", "GraphPropagator"):  # nothing can be put on a device that is not there
        monkeypatch.setattr(module, name, lambda *arguments, device, **options: made.append(device))
    make_propagator(cut, modes, kerr="quadrature", backend="auto", device=torch.device("cuda"), name="fibre")
    assert made == [torch.device("cuda")] * 2


@pytest.mark.gpu
@pytest.mark.parametrize("pulse", [None, PULSE])
def test_a_device_steps_as_the_plain_propagator_does(pulse: Pulse | None) -> None:
    modes = solved(GRADED, modes=6)
    _, (plain, graphs) = both(modes, pulse, torch.device("cuda"))
    launched = amplitudes(3, len(modes)).cuda()
    exact = plain.propagate(launched)
    for _ in range(2):
        # The same operations; a library may choose another algorithm while it is recorded: rounding of some 50 steps.
        assert float((graphs.propagate(launched) - exact).abs().max()) < 1e-12
