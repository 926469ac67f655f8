"""What every workload makes sure of: what came back is what was asked for."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

from bench.contender import Contender, Ticket, Unable, Wrong
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


def equal(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        raise Wrong(f"{what}: {str(found)[:200]} instead of {str(wanted)[:200]}")


def check_order(numbers: list[int], count: int) -> None:
    """Make sure that what came, came once and in order, and was asked for."""
    if any(a >= b for a, b in itertools.pairwise(numbers)):
        raise Wrong("reports came twice or out of order")
    if numbers and not (numbers[0] >= 1 and numbers[-1] <= count):
        raise Wrong(f"reports {numbers[0]} to {numbers[-1]} came, of {count}")


def check_observable(case: Case) -> None:
    if case.driver.observe is Contender.observe:
        raise Unable(case.driver.why_no_fan_out)


def await_running(contender: Contender, ticket: Ticket) -> None:
    deadline = time.monotonic() + _PATIENCE
    try:
        while (state := contender.status(ticket)) != "running":
            if time.monotonic() > deadline:
                raise Wrong(f"the task is {state}, and not running")
            time.sleep(0.005)
    except Unable:
        time.sleep(0.5)


def await_spinning(clock: Path) -> None:
    """Wait until a task is seen at work, now."""
    before, deadline = time.monotonic(), time.monotonic() + _PATIENCE
    while read_clock(clock) <= before:
        if time.monotonic() > deadline:
            raise Wrong("the task does not spin")
        time.sleep(0.005)
