"""What every physical system must keep to, as checks that its author runs.

With pytest::

    from physnet.testing import SystemConformance

    class TestMyBench(SystemConformance):
        def make_system(self):
            return MyBench(port="COM3")

Without: ``check_system(lambda: MyBench(port="COM3"))``. Each check makes, enters and leaves its own system and
presents a few dozen rows. Drives cover the declared range and its limits: on a bench, make sure that the declared
range is safe first. A batch is never empty: the port sends none.

A check can only refute. What a spec declares (`repeatable`, `stateful`, a full scale) is held against what is measured.
"""

from __future__ import annotations

from dataclasses import dataclass

from physnet.contracts import PhysicalSystem

from . import checks
from .bench import Bench, Factory
from .checks import Check


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that a system does not keep to.

    Args:
        check: Name of the check.
        message: What was wrong, what was expected, and the way out.
    """

    check: str
    message: str


def inspect_system(factory: Factory, *, rows: int = 8, seed: int = 0) -> list[Finding]:
    """Run every check and return what a system does not keep to.

    Args:
        factory: Makes a new system at each call, the same one each time; it may open the same bench again.
        rows: Rows of the usual batch, >= 2.
        seed: Seed of the drives.

    Returns:
        The findings; empty for a system that keeps to everything. An exception that a check runs into is one as well.
    """
    return [finding for check in checks.CHECKS for finding in _run(check, factory, rows, seed)]


def check_system(factory: Factory, *, rows: int = 8, seed: int = 0) -> None:
    """Run every check on a system; arguments as for `inspect_system`.

    Raises:
        AssertionError: The system does not keep to something; one message lists all of it.
    """
    _fail(inspect_system(factory, rows=rows, seed=seed))


class SystemConformance:
    """The checks as tests: subclass it under a name that pytest collects, and say how to make a system."""

    rows = 8
    seed = 0

    def make_system(self) -> PhysicalSystem:
        """Return a new system."""
        raise NotImplementedError("make_system must return a new system: override it.")

    def _check(self, check: Check) -> None:
        _fail(_run(check, self.make_system, self.rows, self.seed))

    def test_the_spec_is_frozen_and_stable(self) -> None:
        """See `checks.check_spec`."""
        self._check(checks.check_spec)

    def test_it_opens_and_closes_whatever_happens(self) -> None:
        """See `checks.check_entering_and_leaving`."""
        self._check(checks.check_entering_and_leaving)

    def test_responses_are_what_the_spec_says(self) -> None:
        """See `checks.check_response`."""
        self._check(checks.check_response)

    def test_full_scale_is_respected(self) -> None:
        """See `checks.check_full_scale`."""
        self._check(checks.check_full_scale)

    def test_batches_of_any_size_are_taken(self) -> None:
        """See `checks.check_batches`."""
        self._check(checks.check_batches)

    def test_the_drive_is_left_alone(self) -> None:
        """See `checks.check_drive_is_left_alone`."""
        self._check(checks.check_drive_is_left_alone)

    def test_a_reading_is_kept(self) -> None:
        """See `checks.check_reading_is_kept`."""
        self._check(checks.check_reading_is_kept)

    def test_a_response_has_no_graph(self) -> None:
        """See `checks.check_no_graph`."""
        self._check(checks.check_no_graph)

    def test_the_global_random_state_is_left_alone(self) -> None:
        """See `checks.check_global_random_state`."""
        self._check(checks.check_global_random_state)

    def test_repeatable_is_true(self) -> None:
        """See `checks.check_repeatable`."""
        self._check(checks.check_repeatable)

    def test_reproducible_is_true(self) -> None:
        """See `checks.check_reproducible`."""
        self._check(checks.check_reproducible)

    def test_state_can_be_put_back(self) -> None:
        """See `checks.check_state`."""
        self._check(checks.check_state)

    def test_forward_agrees_with_measure(self) -> None:
        """See `checks.check_forward`."""
        self._check(checks.check_forward)

    def test_parameters_are_written_as_told(self) -> None:
        """See `checks.check_parameters`."""
        self._check(checks.check_parameters)


def _run(check: Check, factory: Factory, rows: int, seed: int) -> list[Finding]:
    if rows < 2:
        raise ValueError(f"rows must be >= 2, got {rows}: order can't be checked with one.")
    name = check.__name__.removeprefix("check_").replace("_", " ")
    findings = []
    try:
        for message in check(Bench(factory=factory, rows=rows, seed=seed)):
            findings.append(Finding(check=name, message=message))
    except Exception as error:
        message = (
            f"the check must run through, got {type(error).__name__}: {error}. Run it alone to see where it comes from."
        )
        findings.append(Finding(check=name, message=message))
    return findings


def _fail(findings: list[Finding]) -> None:
    if findings:
        lines = "\n".join(f"- {finding.check}: {finding.message}" for finding in findings)
        raise AssertionError(f"the system does not keep to {len(findings)} point(s) of the contract:\n{lines}")
