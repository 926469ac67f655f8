"""What is measured: each workload drives one contender, checks what came back, returns figures.

A workload is a generator: it may be left at each ``yield``, so that several contenders are
driven in turns, in one process. Times are in milliseconds, sizes in bytes.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

from bench.checks import (
    await_running,
    await_spinning,
    check_no_op,
    check_observable,
    check_order,
    equal,
)
from bench.contender import Contender, Stopped, Ticket, Unable, Wrong
from bench.measure import (
    TURNS,
    cpu_seconds,
    resident_bytes,
    summarize,
    time_each,
)
from bench.queues import queue
from bench.scale import Case, Figures, Measuring
from bench.subscriber import subscribed
from bench.tasks import no_op, pace, read_clock, report, spin

__all__ = ["WORKLOADS"]

_MANY = 1_000_000_000
_SAMPLE = 100
_A_WHILE = 20.0
_WARM_UP = 50
_PER_SECOND = 1000


def round_trip(case: Case) -> Measuring:
    """A task that does nothing: submitted, run, its result in hand."""
    with case.make() as contender:
        numbers = itertools.count()
        taken: list[float] = []
        for _ in range(TURNS):
            taken += time_each(
                lambda: check_no_op(contender, next(numbers)),
                case.scale.round_trips // TURNS,
                _WARM_UP,
            )
            yield
    times = summarize(taken)
    return {"p50": times.p50, "p99": times.p99}


def throughput(case: Case) -> Measuring:
    """Many such tasks, all submitted, then all awaited; as many as take no longer than a while."""
    with case.make() as contender:
        check_no_op(contender, -1)
        count = _affordable(contender, case.scale.no_ops)
        tasks = [no_op(number) for number in range(count)]
        begun = time.perf_counter()
        results = contender.execute_all(tasks)
        seconds = time.perf_counter() - begun
    equal(results, list(range(count)), "the results")
    return {"per_second": count / seconds}
    yield


def obvious_loop(case: Case) -> Measuring:
    """Many such tasks, submitted one by one, then their results read one by one, as most do.

    Once more with a callback that receives the end of each, as a desktop application has it.
    """
    figures: Figures = {}
    numbers = itertools.count()
    with case.make() as contender:
        count = _affordable(contender, case.scale.no_ops)
        for key in ("per_second", "heard_per_second"):
            try:
                await_ends = contender.hear_ends() if key == "heard_per_second" else None
            except Unable:
                return figures
            seconds = 0.0
            for _ in range(TURNS):
                tasks = [no_op(next(numbers)) for _ in range(max(1, count // TURNS))]
                begun = time.perf_counter()
                tickets = [contender.submit(task) for task in tasks]
                results = [contender.result(ticket) for ticket in tickets]
                seconds += time.perf_counter() - begun
                equal(results, [task["number"] for task in tasks], "the results")
                yield
            figures[key] = TURNS * len(tasks) / seconds
            if await_ends is not None:
                await_ends(TURNS * len(tasks))
    return figures


def progress(case: Case) -> Measuring:
    """Reports at full speed: how many a second, and how many are lost."""
    count = case.scale.events
    numbers: list[int] = []
    with case.make() as contender:
        contender.stream(report(1), lambda number, sent: None)
        begun = time.perf_counter()
        result = contender.stream(report(count), lambda number, sent: numbers.append(number))
        seconds = time.perf_counter() - begun
    equal(result, count, "the result")
    check_order(numbers, count)
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
        equal(contender.stream(pace(count, _PER_SECOND), hear), count, "the result")
    check_order([number for number, _ in heard], count)
    times = summarize(seconds for _, seconds in heard)
    return {"p50": times.p50, "p99": times.p99, "lost": count - len(heard)}
    yield


def flood(case: Case) -> Measuring:
    """Latency of requests while a task reports at full speed to a subscriber."""
    check_observable(case)
    with (
        case.make() as contender,
        subscribed(case.name, contender.place, 1) as subscribers,
    ):
        ticket = contender.submit(report(_MANY))
        await_running(contender, ticket)
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
        await_spinning(clock)
        figures = yield from _look(case, contender, ticket)
        await_spinning(clock)
    return figures


def _look(case: Case, contender: Contender, ticket: Ticket) -> Measuring:
    figures: Figures = {}
    calls: dict[str, Callable[[], object]] = {
        "ping": contender.ping,
        "status": lambda: equal(contender.status(ticket), "running", "the status"),
    }
    for name, call in calls.items():
        try:
            times = summarize(time_each(call, case.scale.answers, warm_up=5))
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
        check_no_op(contender, -1)
        for number in range(case.scale.cancels):
            clock = contender.place / f"clock-{number}"
            spinner = contender.submit(spin(clock))
            await_spinning(clock)
            behind = contender.submit(no_op(number))
            begun = time.monotonic()
            contender.cancel(spinner)
            equal(contender.result(behind), number, "the result")
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


def finished(case: Case) -> Measuring:
    """The memory that the record of an ended task takes in the server."""
    if case.driver.why_no_records:
        raise Unable(case.driver.why_no_records)
    with case.make() as contender:
        keepers = contender.keepers()
        share = _affordable(contender, case.scale.records) // 20
        contender.execute_all([no_op(number) for number in range(2 * share)])
        before = resident_bytes(keepers)
        for _ in range(20):
            results = contender.execute_all([no_op(number) for number in range(share)])
            equal(results, list(range(share)), "the results")
        return {"bytes": (resident_bytes(keepers) - before) / (20 * share)}
    yield


def cold_start(case: Case) -> Measuring:
    """From nothing but this process to the first result."""
    taken = []
    for number in range(case.scale.starts):
        begun = time.perf_counter()
        with case.make() as contender:
            check_no_op(contender, number)
            taken.append(time.perf_counter() - begun)
    return {"p50": summarize(taken).p50}
    yield


def idle(case: Case) -> Measuring:
    """What a server and its worker take while nothing is to be done."""
    with case.make() as contender:
        for number in range(10):
            check_no_op(contender, number)
        time.sleep(case.scale.idle_seconds / 10)  # A process for one task alone has ended by then.
        pids = contender.processes()
        before = cpu_seconds(pids)
        time.sleep(case.scale.idle_seconds)
        return {"cpu_seconds": cpu_seconds(pids) - before, "bytes": float(resident_bytes(pids))}
    yield


def fan_out(case: Case) -> Measuring:
    """One stream of reports to many subscribers: how many reports a second reach one of them."""
    check_observable(case)
    figures: Figures = {}
    for count, events in case.scale.fan_out:
        with (
            case.make() as contender,
            subscribed(case.name, contender.place, count) as subscribers,
        ):
            check_no_op(contender, -1)
            begun = time.monotonic()
            equal(contender.execute(report(events)), events, "the result")
            tallies = subscribers.wait(events)
        equal(len(tallies), count, "the number of subscribers")
        seconds = max(tally["at"] for tally in tallies) - begun
        figures[f"per_second_{count}"] = sum(tally["received"] for tally in tallies) / seconds
        figures[f"lost_{count}"] = sum(tally["lost"] for tally in tallies)
    return figures
    yield


def _affordable(contender: Contender, count: int) -> int:
    """Return how many no-ops to ask for: fewer of what would take very long."""
    sample = min(_SAMPLE, count)
    begun = time.perf_counter()
    contender.execute_all([no_op(number) for number in range(sample)])
    return min(count, int(_A_WHILE * sample / (time.perf_counter() - begun)))


WORKLOADS: dict[str, Callable[[Case], Measuring]] = {
    "round-trip": round_trip,
    "throughput": throughput,
    "obvious-loop": obvious_loop,
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
