"""The promises about the figures, and their evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.contenders import JOURNAL, LIMIT, PEERS, PROJECT, SERVERLESS
from bench.figures import FIGURES
from bench.results import Results

__all__ = ["PROMISES", "Promise", "Verdict", "evaluate"]

_EVERY_PEER, _EVERY_SERVER = "every peer", "every peer that has a server"


@dataclass(frozen=True, slots=True)
class Promise:
    """A bound of one figure of one contender: a maximum, or a minimum where more is better.

    Args:
        figure: the name of the figure.
        contender: the name of the contender.
        bound: the bound, or with ``beside`` the factor to the figure of another contender.
        beside: the name of the other contender, or empty.
    """

    figure: str
    contender: str
    bound: float
    beside: str = ""

    def __str__(self) -> str:
        figure = FIGURES[self.figure]
        sign = ">=" if figure.more_is_better else "<="
        if self.beside in (_EVERY_PEER, _EVERY_SERVER):
            lead = "" if self.bound == 1 else f" by {max(self.bound, 1 / self.bound):g} x"
            return f"ahead of {self.beside}{lead}"
        if self.beside:
            return f"{sign} {self.bound:g} x the {self.beside}'s".replace("+", " + ")
        return f"{sign} {figure.write(self.bound)}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A promise with the measured value."""

    promise: Promise
    found: float
    """The figure, or its ratio."""
    kept: bool

    @property
    def text(self) -> str:
        """The figure or ratio, with its unit."""
        return (
            f"{self.found:.2f} x"
            if self.promise.beside
            else FIGURES[self.promise.figure].write(self.found)
        )


def evaluate(results: Results) -> Iterator[Verdict]:
    """Yield the verdict on each promise whose figures were measured."""
    for promise in PROMISES:
        found = _find(promise, results)
        if found is not None:
            more = FIGURES[promise.figure].more_is_better
            kept = found >= promise.bound if more else found <= promise.bound
            yield Verdict(promise, found, kept)


def _find(promise: Promise, results: Results) -> float | None:
    if promise.beside not in (_EVERY_PEER, _EVERY_SERVER):
        if promise.beside:
            return results.ratio(promise.figure, promise.contender, promise.beside)
        return results.median(promise.figure, promise.contender)
    peers = [p for p in PEERS if promise.beside == _EVERY_PEER or p not in SERVERLESS]
    ratios = [results.ratio(promise.figure, promise.contender, peer) for peer in peers]
    known = [ratio for ratio in ratios if ratio is not None]
    if not known:
        return None
    return min(known) if FIGURES[promise.figure].more_is_better else max(known)


def _make() -> Iterator[Promise]:
    both = (PROJECT, JOURNAL)
    for contender, p50, p99, rate, loop, depth in (
        (PROJECT, 1.5, 3.0, 0.9, 0.7, 1.2),
        (JOURNAL, 2.5, 5.0, 0.6, 0.45, 1.3),
    ):
        yield Promise("round-trip.p50", contender, p50, LIMIT)
        yield Promise("round-trip.p99", contender, p99, LIMIT)
        yield Promise("throughput.per_second", contender, rate, LIMIT)
        yield Promise("obvious-loop.per_second", contender, loop, LIMIT)
        for call in ("submit", "ping", "status"):
            yield Promise(f"queue.{call}_ratio_100000", contender, depth)
    yield Promise("round-trip.p50", PROJECT, 1 / 3, _EVERY_SERVER)
    yield Promise("obvious-loop.heard_per_second", PROJECT, 0.7, LIMIT)
    yield Promise("round-trip.p50", JOURNAL, 1.8, PROJECT)
    yield Promise("round-trip.p99", PROJECT, 2.0)
    yield Promise("throughput.per_second", PROJECT, 2500)
    yield Promise("throughput.per_second", JOURNAL, 2000)
    for contender in both:
        yield Promise("progress.per_second", contender, 0.65, LIMIT)
        yield Promise("progress.per_second", contender, 30_000)
        yield Promise("progress.per_second", contender, 1, _EVERY_PEER)
        yield Promise("progress.lost", contender, 0)
        yield Promise("paced.p50", contender, 1.8, LIMIT)
        yield Promise("paced.lost", contender, 0)
        for workload in ("flood", "spin"):
            yield Promise(f"{workload}.ping_p99", contender, 1.5, LIMIT)
            yield Promise(f"{workload}.ping_p99", contender, 10)
        yield Promise("cancel.last_p50", contender, 5)
        yield Promise("cancel.next_p50", contender, 10)
        for call in ("ping", "status"):
            yield Promise(f"queue.{call}_ratio_10000", contender, 2)
        yield Promise("queue.bytes_100000", contender, 1500)
        yield Promise("finished.bytes", contender, 1500)
        yield Promise("cold-start.p50", contender, 2.5, LIMIT)
        yield Promise("idle.cpu_seconds", contender, 0.005)  # Below the resolution of 10 ms.
        yield Promise("idle.bytes", contender, 3.0, LIMIT)
        yield Promise("idle.bytes", contender, 110e6)
        yield Promise("fan-out.per_second_100", contender, 0.6, LIMIT)
        for count in (1, 10, 100):
            yield Promise(f"fan-out.lost_{count}", contender, 0)


_ORDER = list(FIGURES)

PROMISES: tuple[Promise, ...] = tuple(sorted(_make(), key=lambda p: _ORDER.index(p.figure)))
