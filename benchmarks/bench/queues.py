"""The cost of a long queue: the time of requests and submissions, and memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

from bench.checks import await_running, equal
from bench.contender import Contender, Ticket, Unsupported
from bench.scale import Case, Figures, Measuring
from bench.tasks import HOLD, no_op
from bench.timing import resident_bytes, time_in_turns

__all__ = ["queue"]

_SAMPLE = 50
_LONGEST_SECONDS = 120.0


def queue(case: Case) -> Measuring:
    """Submit, ping and status with many queued tasks, and the memory of each."""
    figures: Figures = {}
    depths = case.scale.depths
    # All depths in turns, so that a slow phase of the machine affects all of them.
    for group in [[depth] for depth in depths] if case.driver.single else [list(depths)]:
        with ExitStack() as stack:
            filled = {depth: stack.enter_context(case.make()) for depth in group}
            tickets = {}
            for depth, contender in filled.items():
                tickets[depth] = contender.submit(HOLD)
                await_running(contender, tickets[depth])
                figures |= _fill(contender, depth)
            calls = _queue_calls(filled, tickets)
            for what, by_depth in calls.items():
                repeat = case.scale.submits if what == "submit" else case.scale.requests
                try:
                    times = time_in_turns(list(by_depth.values()), repeat)
                except Unsupported:
                    continue
                figures |= {
                    f"{what}_{depth}": t.p50 for depth, t in zip(by_depth, times, strict=True)
                }
    for what in ("submit", "ping", "status"):
        for depth in depths[1:]:
            if f"{what}_0" in figures:
                figures[f"{what}_ratio_{depth}"] = figures[f"{what}_{depth}"] / figures[f"{what}_0"]
    return figures
    yield


def _queue_calls(
    filled: dict[int, Contender], tickets: dict[int, Ticket]
) -> dict[str, dict[int, Callable[[], object]]]:
    return {
        "ping": {depth: c.ping for depth, c in filled.items()},
        "status": {depth: _bind(c.status, tickets[depth]) for depth, c in filled.items()},
        "submit": {depth: _bind(c.submit, no_op(0)) for depth, c in filled.items()},
    }


def _bind(call: Callable[[Any], object], argument: Any) -> Callable[[], object]:
    return lambda: call(argument)


def _fill(contender: Contender, depth: int) -> Figures:
    """Queue ``depth`` tasks; return the memory that each takes in the server.

    Raises:
        Unsupported: it would take too long.
    """
    if not depth:
        return {}
    contender.submit(no_op(0))
    keepers = contender.keepers()
    before = resident_bytes(keepers)
    sample = min(_SAMPLE, depth - 1)
    begun = time.perf_counter()
    tickets = [contender.submit(no_op(number)) for number in range(sample)]
    seconds = depth * (time.perf_counter() - begun) / sample
    if seconds > _LONGEST_SECONDS:
        raise Unsupported(f"it would take {seconds:,.0f} s to submit {depth:,} tasks")
    contender.submit_all([no_op(number) for number in range(sample, depth - 1)])
    with suppress(Unsupported):
        equal(contender.queued(), depth, "the number of queued tasks")
    del tickets  # Some systems drop tasks without a ticket.
    if not keepers:
        return {}
    return {f"bytes_{depth}": (resident_bytes(keepers) - before) / (depth - 1)}
