"""What is measured: each workload drives one contender, checks what came back, returns figures.

A workload is a generator: it may be left at each ``yield``, so that several contenders are
driven in turns, in one process. Times are in milliseconds, sizes in bytes.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.contender import Contender, Stopped, Ticket, Unable, Wrong
from bench.measure import (
    TURNS,
    cpu_seconds,
    resident_bytes,
    summarize,
    time_each,
    time_in_turns,
)
from bench.subscriber import subscribed
from bench.tasks import HOLD, no_op, pace, read_clock, report, spin

__all__ = ["FULL", "QUICK", "WORKLOADS", "Case", "Figures", "Scale"]

Figures = dict[str, float]
Measuring = Generator[None, None, Figures]

_MANY = 1_000_000_000
_WARM_UP = 50
_PER_SECOND = 1000
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything."""

    round_trips: int = 3000
    no_ops: int = 5000
    events: int = 50_000
    paced_events: int = 5000
    looks: int = 1000
    cancels: int = 20
    depths: tuple[int, ...] = (0, 10_000, 100_000)
    submits: int = 300
    records: int = 5000
    starts: int = 3
    idle_seconds: float = 10.0
    fan_out: tuple[tuple[int, int], ...] = ((1, 20_000), (10, 10_000), (100, 5000))
    """How many subscribers hear how many events."""


FULL = Scale()
QUICK = Scale(
    round_trips=100,
    no_ops=200,
    events=1000,
    paced_events=100,
    looks=50,
    cancels=2,
    depths=(0, 100, 200),
    submits=20,
    records=300,
    starts=1,
    idle_seconds=0.3,
    fan_out=((1, 200), (10, 200), (100, 100)),
)


@dataclass(frozen=True, slots=True)
class Case:
    """Whom to measure, and how much."""

    name: str
    driver: type[Contender]
    scale: Scale
    running: Callable[[type[Contender]], AbstractContextManager[Contender]]

    def make(self) -> AbstractContextManager[Contender]:
        """Start a new one."""
        return self.running(self.driver)


def round_trip(case: Case) -> Measuring:
    """A task that does nothing: submitted, run, its result in hand."""
    with case.make() as contender:
        numbers = itertools.count()
        taken: list[float] = []
        for _ in range(TURNS):
            taken += time_each(
                lambda: _check_no_op(contender, next(numbers)),
                case.scale.round_trips // TURNS,
                _WARM_UP,
            )
            yield
    times = summarize(taken)
    return {"p50": times.p50, "p99": times.p99}


def throughput(case: Case) -> Measuring:
    """Many such tasks, all submitted, then all awaited."""
    count = case.scale.no_ops
    with case.make() as contender:
        _check_no_op(contender, -1)
        tasks = [no_op(number) for number in range(count)]
        begun = time.perf_counter()
        results = contender.execute_all(tasks)
        seconds = time.perf_counter() - begun
    _equal(results, list(range(count)), "the results")
    return {"per_second": count / seconds}
    yield


def progress(case: Case) -> Measuring:
    """Reports at full speed: how many a second, and how many are lost."""
    count = case.scale.events
    numbers: list[int] = []
    with case.make() as contender:
        contender.stream(report(1), lambda number, sent: None)
        begun = time.perf_counter()
        result = contender.stream(report(count), lambda number, sent: numbers.append(number))
        seconds = time.perf_counter() - begun
    _equal(result, count, "the result")
    _check_order(numbers, count)
    lost = count - len(numbers)
    return {"per_second": len(numbers) / seconds, "received": len(numbers), "lost": lost}
    yield


def paced(case: Case) -> Measuring:
    """A thousand reports a second: how long each is on its way."""
    count = case.scale.paced_events
    heard: list[tuple[int, float]] = []

    def hear(number: int, sent: float | None) -> None:
        assert sent is not None
        heard.append((number, time.monotonic() - sent))

    with case.make() as contender:
        contender.stream(pace(10, _PER_SECOND), lambda number, sent: None)
        _equal(contender.stream(pace(count, _PER_SECOND), hear), count, "the result")
    _check_order([number for number, _ in heard], count)
    times = summarize(seconds for _, seconds in heard)
    return {"p50": times.p50, "p99": times.p99, "lost": count - len(heard)}
    yield


def flood(case: Case) -> Measuring:
    """How soon the server answers while a task reports at full speed, and somebody listens."""
    _check_observable(case)
    with (
        case.make() as contender,
        subscribed(case.name, contender.place, 1) as subscribers,
    ):
        ticket = contender.submit(report(_MANY))
        _await_running(contender, ticket)
        before = subscribers.look()[0]["received"]
        figures = yield from _look(case, contender, ticket)
        heard = subscribers.look()[0]["received"] - before
    if heard < case.scale.looks:
        raise Wrong(f"there was no flood: {heard} reports were heard meanwhile")
    return figures


def spinning(case: Case) -> Measuring:
    """How soon the server answers while a task keeps its processor busy."""
    with case.make() as contender:
        clock = contender.place / "clock"
        ticket = contender.submit(spin(clock))
        _await_spinning(clock)
        figures = yield from _look(case, contender, ticket)
        _await_spinning(clock)
    return figures


def _look(case: Case, contender: Contender, ticket: Ticket) -> Measuring:
    figures: Figures = {}
    calls: dict[str, Callable[[], object]] = {
        "ping": contender.ping,
        "status": lambda: _equal(contender.status(ticket), "running", "the status"),
    }
    for name, call in calls.items():
        try:
            times = summarize(time_each(call, case.scale.looks, warm_up=5))
        except Unable:
            continue
        figures |= {
            f"{name}_p50": times.p50,
            f"{name}_p99": times.p99,
            f"{name}_max": times.longest,
        }
    if not figures:
        raise Unable(contender.why_no_ping)
    return figures
    yield


def cancel(case: Case) -> Measuring:
    """A spinning task is cancelled: to its last instruction, and to the end of the next task."""
    last: list[float] = []
    following: list[float] = []
    with case.make() as contender:
        _check_no_op(contender, -1)
        for number in range(case.scale.cancels):
            clock = contender.place / f"clock-{number}"
            spinner = contender.submit(spin(clock))
            _await_spinning(clock)
            behind = contender.submit(no_op(number))
            begun = time.monotonic()
            contender.cancel(spinner)
            _equal(contender.result(behind), number, "the result")
            following.append(time.monotonic() - begun)
            last.append(read_clock(clock) - begun)
            try:
                raise Wrong(f"a cancelled task has a result: {contender.result(spinner)}")
            except Stopped:
                pass
            if read_clock(clock) - begun > last[-1]:
                raise Wrong("a cancelled task goes on while the next one runs")
    stopped, done = summarize(last), summarize(following)
    return {
        "last_p50": stopped.p50,
        "last_max": stopped.longest,
        "next_p50": done.p50,
        "next_max": done.longest,
    }
    yield


def queue(case: Case) -> Measuring:
    """Submit, ping and status while many wait; and the memory that each of those takes."""
    figures: Figures = {}
    depths = case.scale.depths
    # Side by side, so that a machine that is slow for a while is so for each.
    for group in [[depth] for depth in depths] if case.driver.single else [list(depths)]:
        with ExitStack() as stack:
            filled = {depth: stack.enter_context(case.make()) for depth in group}
            tickets = {}
            for depth, contender in filled.items():
                tickets[depth] = contender.submit(HOLD)
                _await_running(contender, tickets[depth])
                figures |= _fill(contender, depth)
            calls = _queue_calls(filled, tickets)
            for what, by_depth in calls.items():
                repeat = case.scale.submits if what == "submit" else case.scale.looks
                try:
                    times = time_in_turns(list(by_depth.values()), repeat)
                except Unable:
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
    """Queue so many tasks; return what each of them takes in the server."""
    if not depth:
        return {}
    contender.submit(no_op(0))
    keepers = contender.keepers()
    before = resident_bytes(keepers)
    contender.submit_all([no_op(number) for number in range(depth - 1)])
    with suppress(Unable):
        _equal(contender.queued(), depth, "the number of queued tasks")
    if not keepers:
        return {}
    return {f"bytes_{depth}": (resident_bytes(keepers) - before) / (depth - 1)}


def finished(case: Case) -> Measuring:
    """The memory that the record of an ended task takes in the server."""
    if case.driver.why_no_records:
        raise Unable(case.driver.why_no_records)
    share = case.scale.records // 20
    with case.make() as contender:
        keepers = contender.keepers()
        contender.execute_all([no_op(number) for number in range(2 * share)])
        before = resident_bytes(keepers)
        for _ in range(20):
            results = contender.execute_all([no_op(number) for number in range(share)])
            _equal(results, list(range(share)), "the results")
        return {"bytes": (resident_bytes(keepers) - before) / (20 * share)}
    yield


def cold_start(case: Case) -> Measuring:
    """From nothing but this process to the first result."""
    taken = []
    for number in range(case.scale.starts):
        begun = time.perf_counter()
        with case.make() as contender:
            _check_no_op(contender, number)
            taken.append(time.perf_counter() - begun)
    return {"p50": summarize(taken).p50}
    yield


def idle(case: Case) -> Measuring:
    """What a server and its worker take while nothing is to be done."""
    with case.make() as contender:
        for number in range(10):
            _check_no_op(contender, number)
        pids = contender.processes()
        time.sleep(case.scale.idle_seconds / 10)
        before = cpu_seconds(pids)
        time.sleep(case.scale.idle_seconds)
        return {"cpu_seconds": cpu_seconds(pids) - before, "bytes": float(resident_bytes(pids))}
    yield


def fan_out(case: Case) -> Measuring:
    """One stream of reports to many subscribers: how many reports a second reach one of them."""
    _check_observable(case)
    figures: Figures = {}
    for count, events in case.scale.fan_out:
        with (
            case.make() as contender,
            subscribed(case.name, contender.place, count) as subscribers,
        ):
            _check_no_op(contender, -1)
            begun = time.monotonic()
            _equal(contender.execute(report(events)), events, "the result")
            tallies = subscribers.wait(events)
        _equal(len(tallies), count, "the number of subscribers")
        seconds = max(tally["at"] for tally in tallies) - begun
        figures[f"per_second_{count}"] = sum(tally["received"] for tally in tallies) / seconds
        figures[f"lost_{count}"] = sum(tally["lost"] for tally in tallies)
    return figures
    yield


def _check_no_op(contender: Contender, number: int) -> None:
    _equal(contender.execute(no_op(number)), number, "the result")


def _equal(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        raise Wrong(f"{what}: {str(found)[:200]} instead of {str(wanted)[:200]}")


def _check_order(numbers: list[int], count: int) -> None:
    """Make sure that what came, came once and in order, and was asked for."""
    if any(a >= b for a, b in itertools.pairwise(numbers)):
        raise Wrong("reports came twice or out of order")
    if numbers and not (numbers[0] >= 1 and numbers[-1] <= count):
        raise Wrong(f"reports {numbers[0]} to {numbers[-1]} came, of {count}")


def _check_observable(case: Case) -> None:
    if case.driver.observe is Contender.observe:
        raise Unable(case.driver.why_no_fan_out)


def _await_running(contender: Contender, ticket: Ticket) -> None:
    deadline = time.monotonic() + _PATIENCE
    try:
        while (state := contender.status(ticket)) != "running":
            if time.monotonic() > deadline:
                raise Wrong(f"the task is {state}, and not running")
            time.sleep(0.005)
    except Unable:
        time.sleep(0.5)


def _await_spinning(clock: Path) -> None:
    """Wait until a task is seen at work, now."""
    before, deadline = time.monotonic(), time.monotonic() + _PATIENCE
    while read_clock(clock) <= before:
        if time.monotonic() > deadline:
            raise Wrong("the task does not spin")
        time.sleep(0.005)


WORKLOADS: dict[str, Callable[[Case], Measuring]] = {
    "round-trip": round_trip,
    "throughput": throughput,
    "progress": progress,
    "paced": paced,
    "flood": flood,
    "spin": spinning,
    "cancel": cancel,
    "queue": queue,
    "finished": finished,
    "cold-start": cold_start,
    "idle": idle,
    "fan-out": fan_out,
}
