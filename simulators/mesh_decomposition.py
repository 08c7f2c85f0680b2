"""Which interferometers a mesh is made of, and the phases with which it is a given unitary matrix.

Axis letters: P ports; M interferometers.
"""

from __future__ import annotations

import cmath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from physnet.errors import InputError

MeshShape = Literal["rectangular", "triangular"]
Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

_UNITARY = 1e-9  # departure of U^H U from 1 that rounding explains for some thousand ports


@dataclass(frozen=True, kw_only=True, eq=False)
class MeshLayout:
    """Where the interferometers of a mesh are, in the order in which light meets them.

    Args:
        ports: Waveguides.
        column_M: Column of each interferometer, in increasing order.
        port_M: The upper one of its two waveguides.
    """

    ports: int
    column_M: NDArray[np.int64]
    port_M: NDArray[np.int64]

    @classmethod
    def of(cls, shape: MeshShape, ports: int) -> MeshLayout:
        """Return the layout of a universal mesh: `ports (ports - 1) / 2` interferometers."""
        steps = list(_steps(shape, ports))
        right = [port for side, port, _ in steps if side == "right"]
        left = [port for side, port, _ in steps if side == "left"]
        port_M = np.array(right + left[::-1], dtype=np.int64)
        column_M = _columns(port_M, ports)
        order = np.lexsort((port_M, column_M))
        return cls(ports=ports, column_M=column_M[order], port_M=port_M[order])


@dataclass(frozen=True, kw_only=True, eq=False)
class MeshPhases:
    """Phases of a mesh, in rad from 0 to 2 pi.

    Args:
        theta_M: Between the couplers of each interferometer, on its upper arm.
        phi_M: Before its upper input.
        output_P: Behind the mesh, at each port; a detector of powers does not see them.
    """

    theta_M: Floats
    phi_M: Floats
    output_P: Floats


def decompose(unitary_PP: NDArray[Any], shape: MeshShape = "rectangular") -> MeshPhases:
    """Return the phases with which an ideal mesh is a unitary matrix.

    An interferometer is `B diag(e^{i theta}, 1) B diag(e^{i phi}, 1)` with couplers `B = [[1, i], [i, 1]] / sqrt(2)`,
    and the matrix is `diag(e^{i output})` times the mesh. Elements are nulled one after the other from the left and the
    right (rectangular) or from the right alone (triangular); in the end the left ones are carried through the phases.

    Args:
        unitary_PP: Shape `(ports, ports)`: outputs, inputs.
        shape: Of the mesh.

    Returns:
        The phases, in the order of `MeshLayout`.

    Raises:
        InputError: The matrix is not square, of two ports at least, and unitary to 1e-9.

    Source:
        W. R. Clements et al., Optica 3, 1460 (2016), arXiv:1603.08788 (rectangular); M. Reck et al., Phys. Rev. Lett.
        73, 58 (1994) (triangular).
    """
    rest_PP = np.array(unitary_PP, dtype=np.complex128)
    if rest_PP.ndim != 2 or rest_PP.shape[0] != rest_PP.shape[1] or len(rest_PP) < 2:
        raise InputError(f"unitary must be a square matrix of two ports at least, got shape {rest_PP.shape}.")
    ports = len(rest_PP)
    departure = np.abs(rest_PP.conj().T @ rest_PP - np.eye(ports)).max()
    if not departure < _UNITARY:
        raise InputError(
            f"unitary must depart from U^H U = 1 by less than {_UNITARY:g}, got {departure:g}. A QR or singular value "
            "decomposition gives a unitary matrix near yours."
        )
    right: list[tuple[int, float, float]] = []
    left: list[tuple[int, float, float]] = []
    for side, port, line in _steps(shape, ports):
        if side == "right":
            theta, phi = _null_left_of(rest_PP[line, port], rest_PP[line, port + 1])
            pair = rest_PP[:, port : port + 2] @ interferometer(theta, phi).conj().T
            rest_PP[:, port : port + 2] = pair
            right.append((port, theta, phi))
        else:
            theta, phi = _null_below(rest_PP[port, line], rest_PP[port + 1, line])
            rest_PP[port : port + 2] = interferometer(theta, phi) @ rest_PP[port : port + 2]
            left.append((port, theta, phi))
    phase_P = np.diag(rest_PP).copy()
    for port, theta, phi in reversed(left):
        # M(theta, phi)^H diag(a, b) = diag(-e^{-i (theta + phi)} b, -e^{-i theta} b) M(theta, arg(a / b))
        upper, lower = phase_P[port], phase_P[port + 1]
        phase_P[port] = -cmath.exp(-1j * (theta + phi)) * lower
        phase_P[port + 1] = -cmath.exp(-1j * theta) * lower
        right.append((port, theta, cmath.phase(upper / lower)))
    port_M = np.array([port for port, _, _ in right], dtype=np.int64)
    order = np.lexsort((port_M, _columns(port_M, ports)))
    turn = 2 * np.pi
    return MeshPhases(
        theta_M=np.array([theta for _, theta, _ in right])[order] % turn,
        phi_M=np.array([phi for _, _, phi in right])[order] % turn,
        output_P=np.angle(phase_P) % turn,
    )


def interferometer(theta: float, phi: float) -> Complexes:
    """Return an ideal interferometer's matrix, shape `(2, 2)`."""
    inner, outer = cmath.exp(1j * theta), cmath.exp(1j * phi)
    matrix = [[outer * (inner - 1), 1j * (inner + 1)], [1j * outer * (inner + 1), 1 - inner]]
    return np.array(matrix, dtype=np.complex128) / 2


def _null_left_of(element: complex, right_one: complex) -> tuple[float, float]:
    """Return the phases of `M` with which `M^H` from the right nulls an element by the one to its right."""
    return 2 * np.arctan2(abs(right_one), abs(element)), _angle(-element, right_one)


def _null_below(upper: complex, element: complex) -> tuple[float, float]:
    """Return the phases of `M` that from the left nulls an element by the one above it."""
    return 2 * np.arctan2(abs(upper), abs(element)), _angle(element, upper)


def _angle(value: complex, reference: complex) -> float:
    """Return the angle between two numbers; any will do where one of them is 0."""
    return cmath.phase(value * reference.conjugate())


Step = tuple[Literal["left", "right"], int, int]  # from which side, upper port, line or column of the element


def _steps(shape: MeshShape, ports: int) -> Iterator[Step]:
    """Yield the elements in the order in which they are nulled: the last line or a diagonal, then what is left."""
    if shape == "triangular":
        for line in range(ports - 1, 0, -1):
            for port in range(line):
                yield "right", port, line
        return
    for diagonal in range(1, ports):
        for k in range(diagonal):
            if diagonal % 2:
                yield "right", diagonal - 1 - k, ports - 1 - k
            else:
                yield "left", ports - 1 - diagonal + k, k


def _columns(port_M: NDArray[np.int64], ports: int) -> NDArray[np.int64]:
    """Return the first column that is free for each interferometer, one after the other."""
    free_P = np.zeros(ports, dtype=np.int64)
    column_M = np.empty(len(port_M), dtype=np.int64)
    for k, port in enumerate(port_M):
        column_M[k] = free_P[port : port + 2].max()
        free_P[port : port + 2] = column_M[k] + 1
    return column_M
