"""What a node with delayed feedback looks like: its mask, its nonlinearity, and what is in its delay line.

Axis letters: N rows (one); T points in time, F of them frames; S points of the delay line; V virtual nodes; D drives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from physnet.viewing.picture import Axis, Curve, Field, Geometry, Image, Panel

from .delay_loop import DelayLoop, Nonlinearity

_MOST_FRAMES = 73
_TIME, _AGO = Axis(name="time", unit="s"), Axis(name="time since it left the node", unit="s")
_SIGNAL = Axis(name="signal x")


@dataclass(frozen=True, kw_only=True)
class DelayView:
    """Looks at a row.

    Args:
        loop: What integrates it.
        element: The nonlinearity.
        mask_VD: What a drive of 1 adds to the input of each node.
        low: Lowest drive.
        high: Highest drive.
        substeps: Steps of a node.
        loops: Times that a row is played.
    """

    loop: DelayLoop
    element: Nonlinearity
    mask_VD: torch.Tensor
    low: float
    high: float
    substeps: int
    loops: int

    def geometry(self) -> Geometry:
        """Return the mask, and the curve of the nonlinear element over what it can be driven to."""
        nodes, drives = self.mask_VD.shape
        mask = Image(
            values=self.mask_VD.numpy(), extent=(-0.5, drives - 0.5, -0.5, nodes - 0.5),
            quantity=Axis(name="input of a node per drive"), signed=True,
        )  # fmt: skip
        both = torch.stack((self.mask_VD * self.low, self.mask_VD * self.high))
        reach = max(float(both.amax(0).sum(1).max()), float(-both.amin(0).sum(1).min()), 1e-3)
        s_T = torch.linspace(-1.2 * reach, 1.2 * reach, 401, dtype=torch.float64)
        law = Curve(x_T=s_T.numpy(), y_T=self.element(s_T).numpy())
        return Geometry(
            panels=(
                Panel(title="mask", x=Axis(name="drive channel"), y=Axis(name="virtual node"), images=(mask,)),
                Panel(
                    title=f"nonlinear element: {_named(self.element)}", x=Axis(name="x(t - T) + J(t)"),
                    y=Axis(name="F"), curves=(law,),
                ),
            )
        )  # fmt: skip

    def field(
        self, trace_T: torch.Tensor, input_K: torch.Tensor, response_V: torch.Tensor, *, frames: int, pixels: int
    ) -> Field:
        """Return what is in the delay line over time, and the signal of the node.

        Args:
            trace_T: `x` at the points of the history and after each step.
            input_K: `J` of each step.
            response_V: What is read.
            frames: Most frames.
            pixels: Most points of the delay line.
        """
        x_T, step, delay = trace_T.numpy(), self.loop.step, self.loop.delay
        steps = len(input_K)
        stop_F = np.unique(np.linspace(0, steps, max(2, min(frames, _MOST_FRAMES, steps + 1))).round().astype(int))
        ago_S = np.arange(0, delay + 1, max(1, math.ceil((delay + 1) / pixels)))
        line_FS = x_T[delay + stop_F[:, None] - ago_S[None]]
        time_K = step * np.arange(1, steps + 1)
        every = max(1, math.ceil(steps / pixels))
        nodes = len(self.mask_VD)
        read = (steps - nodes * self.substeps) * step
        signal = Curve(x_T=time_K[::every], y_T=x_T[delay + 1 :: every], label="x")
        drive = Curve(x_T=time_K[::every], y_T=input_K.numpy()[::every], label="input J", faint=True)
        past = Curve(x_T=x_T[1 : steps + 1 : every], y_T=x_T[delay + 1 :: every])
        return Field(
            panels=(
                Panel(title="in the delay line", x=_AGO, y=_SIGNAL, curves=(Curve(x_T=ago_S * step, y_T=line_FS),)),
                Panel(
                    title="signal behind the node", x=_TIME, y=Axis(name="x, J"), curves=(signal, drive), cursor=True,
                    span=(read, steps * step),
                ),
                Panel(
                    title=f"virtual nodes, read in the last of {self.loops} loops", x=Axis(name="virtual node"),
                    y=Axis(name="response"),
                    curves=(Curve(x_T=np.arange(float(nodes)), y_T=response_V.numpy(), dots=True),),
                ),
                Panel(
                    title="against what it was a delay before", x=Axis(name="x(t - T)"), y=Axis(name="x(t)"),
                    curves=(past,), alike=True,
                ),
            ),
            along=_TIME,
            at_F=stop_F * step,
            readout=response_V.numpy(),
        )  # fmt: skip


def _named(element: Nonlinearity) -> str:
    values = ", ".join(f"{name} {value:.3g}" for name, value in vars(element).items())
    return f"{type(element).__name__}, {values}"
