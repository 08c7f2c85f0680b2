"""The transfer through a cavity as a function of its driven elements alone: everything else is eliminated beforehand.

A Schur complement takes out what stays the same. What is left of a cavity is a matrix of the size of its driven
elements, whose diagonal a row of drives sets; each row costs one small solution.

`numpy.linalg.solve` works on each matrix of a stack by itself, so a row's bits don't depend on its neighbours. That of
torch is slower on a CPU, and wrong there for stacks of matrices of 160 and more on several threads (pytorch#142815).

Axis letters: N rows; J receivers; T transmitters; D driven elements; S those of them in another than the reference
state; L states of an element; P, K, X dipoles.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .dipoles import Complexes, Ints

_STACK = 1 << 16  # elements of a stack of matrices, 1 MiB: it stays in a core's second-level cache


def eliminate(matrix_PP: Complexes, kept: int) -> Complexes:
    """Return the Schur complement that leaves the first `kept` dipoles: the others answer as they must."""
    keep, drop = slice(0, kept), slice(kept, None)
    answer_XK = np.linalg.solve(matrix_PP[drop, drop], matrix_PP[drop, keep])
    return np.asarray(matrix_PP[keep, keep] - matrix_PP[keep, drop] @ answer_XK)


@dataclass(frozen=True, kw_only=True, eq=False)
class Reduction:
    """`H = direct + out (mutual + diag(load))^-1 into` at one frequency.

    Args:
        direct_JT: The transfer with all driven elements taken away.
        out_JD: From the moments of the elements to the receivers.
        mutual_DD: The field that excites the elements, per moment, their own radiation included.
        into_DT: From the transmitters to the elements.
    """

    direct_JT: Complexes
    out_JD: Complexes
    mutual_DD: Complexes
    into_DT: Complexes

    @classmethod
    def of(cls, matrix_PP: Complexes, *, driven: Ints, receivers: Ints, transmitters: Ints, gain: complex) -> Reduction:
        """Eliminate all dipoles but the driven ones.

        Args:
            matrix_PP: `W` of `dipoles`, or what `eliminate` left of it, where the diagonal of the driven elements lacks
                their bare inverse polarizability, the load.
            driven: Positions of the driven elements.
            receivers: Positions of the receivers.
            transmitters: Likewise.
            gain: Inverse polarizability of a receiver, the same for all: its diagonal element of `W`.
        """
        others = np.setdiff1d(np.arange(len(matrix_PP)), driven)
        receivers_X, transmitters_X = np.searchsorted(others, receivers), np.searchsorted(others, transmitters)
        own_XX = matrix_PP[np.ix_(others, others)]
        to_XD = matrix_PP[np.ix_(others, driven)]
        unit_XX = np.eye(len(others), dtype=np.complex128)
        # W is symmetric: its inverse's columns of the receivers are its rows.
        sides = np.concatenate((unit_XX[:, transmitters_X], unit_XX[:, receivers_X], to_XD), axis=1)
        from_XT, from_XJ, from_XD = np.split(
            np.linalg.solve(own_XX, sides), np.cumsum((len(transmitters), len(receivers))), axis=1
        )
        return cls(
            direct_JT=gain * from_XT[receivers_X],
            out_JD=-gain * (from_XJ.T @ to_XD),
            mutual_DD=matrix_PP[np.ix_(driven, driven)] - to_XD.T @ from_XD,
            into_DT=-to_XD.T @ from_XT,
        )

    def transfer(self, load_ND: Complexes) -> Complexes:
        """Return the transfer for any loads, shape `(n, receivers, transmitters)`."""
        drives = load_ND.shape[1]
        result_NJT = np.empty((len(load_ND), *self.direct_JT.shape), dtype=np.complex128)
        for rows in _stacks(np.arange(len(load_ND)), drives):
            matrix_NDD = np.repeat(self.mutual_DD[None], len(rows), axis=0)
            matrix_NDD[:, np.arange(drives), np.arange(drives)] += load_ND[rows]
            result_NJT[rows] = self.direct_JT + self.out_JD @ np.linalg.solve(matrix_NDD, self.into_DT[None])
        return result_NJT

    def gradient(self, load_ND: Complexes, weight_NJT: Complexes) -> Complexes:
        """Return `sum_jt weight_jt dH_jt / dload_d` for each row, shape `(n, driven)`."""
        drives, ports = load_ND.shape[1], self.into_DT.shape[1]
        sides = np.concatenate((self.into_DT, self.out_JD.T), axis=1)
        result_ND = np.empty_like(load_ND)
        for rows in _stacks(np.arange(len(load_ND)), drives):
            matrix_NDD = np.repeat(self.mutual_DD[None], len(rows), axis=0)
            matrix_NDD[:, np.arange(drives), np.arange(drives)] += load_ND[rows]
            both = np.linalg.solve(matrix_NDD, sides[None])  # the matrix is symmetric
            result_ND[rows] = -((both[:, :, ports:] @ weight_NJT[rows]) * both[:, :, :ports]).sum(2)
        return result_ND


class SwitchedReduction:
    """A reduction whose elements have a few states each: only those in another than the reference state are solved for.

    `mutual + diag(load)` is inverted once for each state, all elements in it. A row takes the state that most of its
    elements are in as its reference and solves for the rest (Woodbury's identity): of two states at most half of the
    elements, an eighth of the operations. Measured with 64 elements, `benchmarks/waves.py`: three times as fast as to
    solve for all with two states, one and a half times with four.

    Args:
        reduction: The reduction.
        load_L: Load of each state at its frequency.
    """

    def __init__(self, reduction: Reduction, load_L: Complexes) -> None:
        self._load_L = load_L
        self._references = [_Reference.of(reduction, load) for load in load_L]

    def transfer(self, state_ND: NDArray[np.integer]) -> Complexes:
        """Return the transfer for rows of states, shape `(n, receivers, transmitters)`."""
        drives = state_ND.shape[1]
        count_NL = np.stack([np.count_nonzero(state_ND == state, axis=1) for state in range(len(self._load_L))], axis=1)
        reference_N = np.argmax(count_NL, axis=1)
        size_N = drives - count_NL[np.arange(len(state_ND)), reference_N]
        direct_JT = self._references[0].direct_JT
        result_NJT = np.empty((len(state_ND), *direct_JT.shape), dtype=np.complex128)
        kind_N = reference_N * (drives + 1) + size_N
        for kind in np.unique(kind_N):
            state, size = divmod(int(kind), drives + 1)
            reference = self._references[state]
            for rows in _stacks(np.flatnonzero(kind_N == kind), size):
                other_ND = state_ND[rows] != state
                element_NS = np.nonzero(other_ND)[1].reshape(len(rows), size)
                step_NS = self._load_L[state_ND[rows][other_ND].reshape(len(rows), size)] - self._load_L[state]
                result_NJT[rows] = reference.transfer(element_NS, step_NS)
        return result_NJT


@dataclass(frozen=True, kw_only=True, eq=False)
class _Reference:
    """All elements in one state.

    Args:
        direct_JT: The transfer then.
        out_DJ: `out` times the inverse, transposed.
        inverse_DD: `(mutual + diag(load))^-1`.
        into_DT: The inverse times `into`: the moments of the elements.
    """

    direct_JT: Complexes
    out_DJ: Complexes
    inverse_DD: Complexes
    into_DT: Complexes

    @classmethod
    def of(cls, reduction: Reduction, load: complex) -> _Reference:
        matrix_DD: Complexes = reduction.mutual_DD + load * np.eye(len(reduction.mutual_DD))
        inverse_DD: Complexes = np.linalg.inv(matrix_DD).astype(np.complex128, copy=False)
        into_DT = inverse_DD @ reduction.into_DT
        return cls(
            direct_JT=reduction.direct_JT + reduction.out_JD @ into_DT,
            out_DJ=inverse_DD.T @ reduction.out_JD.T,
            inverse_DD=inverse_DD,
            into_DT=into_DT,
        )

    def transfer(self, element_NS: Ints, step_NS: Complexes) -> Complexes:
        """Return the transfer with the load of some elements changed by `step`."""
        size = element_NS.shape[1]
        if not size:
            return np.broadcast_to(self.direct_JT, (len(element_NS), *self.direct_JT.shape))
        matrix_NSS = np.take(self.inverse_DD, element_NS[:, :, None] * len(self.inverse_DD) + element_NS[:, None, :])
        matrix_NSS *= step_NS[:, None, :]
        matrix_NSS[:, np.arange(size), np.arange(size)] += 1
        moment_NST = np.linalg.solve(matrix_NSS, self.into_DT[element_NS])
        out_NSJ = self.out_DJ[element_NS] * step_NS[:, :, None]
        return np.asarray(self.direct_JT - out_NSJ.transpose(0, 2, 1) @ moment_NST)


def _stacks(rows: Ints, size: int) -> Iterator[Ints]:
    """Cut rows into parts whose matrices of `size` fit into the cache together."""
    height = max(1, _STACK // max(1, size * size))
    for first in range(0, len(rows), height):
        yield rows[first : first + height]
