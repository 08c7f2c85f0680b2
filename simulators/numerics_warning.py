"""The warning of a simulator whose numbers are coarse."""

from __future__ import annotations


class NumericsWarning(UserWarning):
    """What was asked for is computed, but coarsely: the message has the number, what is fine, and the way out.

    What is certainly wrong is refused instead, see `physnet.errors`. `warnings.simplefilter("error", NumericsWarning)`
    makes an error of it.
    """
