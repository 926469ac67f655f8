"""Checks of the results of workloads."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

from bench.contender import Contender, Ticket, Unsupported, WrongResult
from bench.scale import Case
from bench.tasks import no_op, read_clock

__all__ = [
    "await_running",
    "await_spinning",
    "check_no_op",
    "check_observable",
    "check_order",
    "equal",
]

_PATIENCE = 60.0


def check_no_op(contender: Contender, number: int) -> None:
    equal(contender.execute(no_op(number)), number, "the result")


def equal(found: object, expected: object, what: str) -> None:
    if found != expected:
        raise WrongResult(f"{what}: {str(found)[:200]} instead of {str(expected)[:200]}")


def check_order(numbers: list[int], count: int) -> None:
    """Check that report numbers are ascending, unique and in range."""
    if any(a >= b for a, b in itertools.pairwise(numbers)):
        raise WrongResult("reports are duplicated or out of order")
    if numbers and not (numbers[0] >= 1 and numbers[-1] <= count):
        raise WrongResult(f"received reports {numbers[0]} to {numbers[-1]} of {count}")


def check_observable(case: Case) -> None:
    if case.driver.observe is Contender.observe:
        raise Unsupported(case.driver.why_no_fan_out)


def await_running(contender: Contender, ticket: Ticket) -> None:
    deadline = time.monotonic() + _PATIENCE
    try:
        while (state := contender.status(ticket)) != "running":
            if time.monotonic() > deadline:
                raise WrongResult(f"the task is {state} instead of running")
            time.sleep(0.005)
    except Unsupported:
        time.sleep(0.5)


def await_spinning(clock: Path) -> None:
    """Wait until a spinning task writes to its clock."""
    before, deadline = time.monotonic(), time.monotonic() + _PATIENCE
    while read_clock(clock) <= before:
        if time.monotonic() > deadline:
            raise WrongResult("the task does not spin")
        time.sleep(0.005)
