"""The scattering medium on a CUDA device beside one real matrix product of the same size, for `gpu.py`.

As in `scattering.py`: the floor is a product of 1 024 rows with the transfer matrix as [Re | Im], float32, into memory
that is there already, in full single precision; TF32 is off.
"""

from __future__ import annotations

import numpy as np
import scattering
import torch
from gpu_turns import HEAD, Entrant, compared, timed

from physnet.simulators.scattering import ScatteringMedium

TOLERANCE = 1e-5
"""Relative to the largest value. A sum of 784 products rounds by 784^0.5 * 2^-24 = 2e-6 of it, at random."""


def scattering_table(device: torch.device, repeats: int) -> list[str]:
    """Compare, time, print and return the lines of the table."""
    rows, drives, pixels = scattering.ROWS, scattering.DRIVES, scattering.PIXELS
    torch.backends.cuda.matmul.allow_tf32 = False
    drive_ND = torch.rand(rows, drives, generator=torch.Generator().manual_seed(0))
    medium = ScatteringMedium(drives=drives, responses=pixels, device=str(device))
    on_device, passes = drive_ND.to(device), np.arange(rows, dtype=np.int64)
    matrix = torch.cat((medium.matrix.real.T, medium.matrix.imag.T), dim=1).to(device, torch.float32).contiguous()
    out = torch.empty(rows, 2 * pixels, device=device)
    exact = drive_ND.double() @ matrix.cpu().double()
    field = torch.hypot(*exact.split(pixels, dim=1))

    def error(found: torch.Tensor) -> float:
        right = exact if found.shape[1] == 2 * pixels else field
        return float((found.cpu().double() - right).abs().max() / right.abs().max())

    entrants = [
        Entrant(name="modulus", run=lambda: medium.measure(on_device, passes).response),
        Entrant(name="real product", run=lambda: torch.mm(on_device, matrix, out=out), is_peer=True),
    ]
    lines = [
        f"scattering medium, {drives} -> {pixels}, {rows} rows, float32, TF32 off",
        "",
        HEAD.format(rate="GFLOP/s", peer="the product"),
        "|---|---|---|---|---|---|---|---|",
    ]
    errors = compared(entrants, error, TOLERANCE)
    lines += timed(f"{rows} rows", entrants, errors, work=4 * rows * drives * pixels / 1e9, repeats=repeats)
    print("\n".join(lines), flush=True)
    return lines
