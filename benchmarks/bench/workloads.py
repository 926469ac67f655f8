"""The workloads: each drives one contender, checks its results and returns figures.

A workload is a generator: it is suspended at each ``yield``, so that several contenders are driven
in turns in one process. Times are in milliseconds, sizes in bytes.
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
from bench.contender import Cancelled, Contender, Ticket, Unsupported, WrongResult
from bench.queues import queue
from bench.scale import Case, Figures, Measuring
from bench.subscriber import subscribed
from bench.tasks import no_op, pace, read_clock, report, spin
from bench.timing import (
    TURNS,
    cpu_seconds,
    resident_bytes,
    summarize,
    time_each,
)

__all__ = ["WORKLOADS"]

_MANY = 1_000_000_000
_SAMPLE = 100
_A_WHILE = 20.0
_WARM_UP = 50
_PER_SECOND = 1000


def round_trip(case: Case) -> Measuring:
    """The time from the submission of a no-op to its result."""
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
    """Many no-ops, submitted together, then awaited."""
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
    """Many no-ops, submitted one by one, then their results read one by one.

    A second time with a callback that receives the end of each, as in a desktop application.
    """
    figures: Figures = {}
    numbers = itertools.count()
    with case.make() as contender:
        count = _affordable(contender, case.scale.no_ops)
        for key in ("per_second", "heard_per_second"):
            try:
                await_ends = contender.subscribe_to_ends() if key == "heard_per_second" else None
            except Unsupported:
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
    """Reports at full speed: the rate, and the number of lost ones."""
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
    """A thousand reports a second: the one-way latency."""
    count = case.scale.paced_events
    received: list[tuple[int, float]] = []

    def on_report(number: int, sent: float | None) -> None:
        assert sent is not None
        received.append((number, time.monotonic() - sent))

    with case.make() as contender:
        contender.stream(pace(10, _PER_SECOND), lambda number, sent: None)
        equal(contender.stream(pace(count, _PER_SECOND), on_report), count, "the result")
    check_order([number for number, _ in received], count)
    times = summarize(seconds for _, seconds in received)
    return {"p50": times.p50, "p99": times.p99, "lost": count - len(received)}
    yield


def flood(case: Case) -> Measuring:
    """The reply times while a task reports at full speed to a subscriber."""
    check_observable(case)
    with (
        case.make() as contender,
        subscribed(case.name, contender.place, 1) as subscribers,
    ):
        ticket = contender.submit(report(_MANY))
        await_running(contender, ticket)
        before = subscribers.poll()[0]["received"]
        figures = yield from _time_requests(case, contender, ticket)
        received = subscribers.poll()[0]["received"] - before
    if received < case.scale.requests:
        raise WrongResult(f"no flood: only {received} reports were received")
    return figures


def spinning(case: Case) -> Measuring:
    """The reply times while a task uses the CPU."""
    with case.make() as contender:
        clock = contender.place / "clock"
        ticket = contender.submit(spin(clock))
        await_spinning(clock)
        figures = yield from _time_requests(case, contender, ticket)
        await_spinning(clock)
    return figures


def _time_requests(case: Case, contender: Contender, ticket: Ticket) -> Measuring:
    figures: Figures = {}
    calls: dict[str, Callable[[], object]] = {
        "ping": contender.ping,
        "status": lambda: equal(contender.status(ticket), "running", "the status"),
    }
    for name, call in calls.items():
        try:
            times = summarize(time_each(call, case.scale.answers, warm_up=5))
        except Unsupported:
            continue
        figures |= {
            f"{name}_p50": times.p50,
            f"{name}_p99": times.p99,
            f"{name}_max": times.longest,
        }
    if not figures:
        raise Unsupported(contender.why_no_ping)
    return figures
    yield


def cancel(case: Case) -> Measuring:
    """From a cancel to the last instruction of a spinning task, and to the end of the next task."""
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
                raise WrongResult(f"a cancelled task has a result: {contender.result(spinner)}")
            except Cancelled:
                pass
            if read_clock(clock) - begun > last[-1]:
                raise WrongResult("a cancelled task still runs beside the next one")
    stopped, done = summarize(last), summarize(following)
    return {
        "last_p50": stopped.p50,
        "last_max": stopped.longest,
        "next_p50": done.p50,
        "next_max": done.longest,
    }
    yield


def finished(case: Case) -> Measuring:
    """The memory of the record of an ended task in the server."""
    if case.driver.why_no_records:
        raise Unsupported(case.driver.why_no_records)
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
    """From the start of the server to the first result."""
    taken = []
    for number in range(case.scale.starts):
        begun = time.perf_counter()
        with case.make() as contender:
            check_no_op(contender, number)
            taken.append(time.perf_counter() - begun)
    return {"p50": summarize(taken).p50}
    yield


def idle(case: Case) -> Measuring:
    """The CPU time and memory of an idle server with its worker."""
    with case.make() as contender:
        for number in range(10):
            check_no_op(contender, number)
        time.sleep(case.scale.idle_seconds / 10)  # Processes of single tasks end meanwhile.
        pids = contender.processes()
        before = cpu_seconds(pids)
        time.sleep(case.scale.idle_seconds)
        return {"cpu_seconds": cpu_seconds(pids) - before, "bytes": float(resident_bytes(pids))}
    yield


def fan_out(case: Case) -> Measuring:
    """One stream of reports to many subscribers: the rate of all together."""
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
    """Return the number of no-ops to submit, limited by the time they take."""
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
