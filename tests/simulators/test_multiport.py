"""Reflection coefficients of the multiport; the network itself is a case of the validation."""

from __future__ import annotations

from physnet.simulators.dipoles import bare_inverse
from physnet.simulators.multiport import reflection


def test_an_element_with_losses_reflects_less() -> None:
    assert abs(reflection(bare_inverse(1.0, 0.5, 0.1, 1.0), 1.0)) < 0.9
    assert abs(reflection(bare_inverse(5.0, 0.5, 0.0, 1.0), 1.0) - 1) < 0.01  # far from its resonance it is not there
