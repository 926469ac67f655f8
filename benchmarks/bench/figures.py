"""The names, titles and units of the figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["FIGURES", "TABLES", "Figure"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a workload."""

    workload: str
    key: str
    title: str
    unit: str
    more_is_better: bool = False

    @property
    def name(self) -> str:
        return f"{self.workload}.{self.key}"

    def write(self, value: float) -> str:
        """Return a value with its unit."""
        match self.unit:
            case "MB":
                return f"{value / 1e6:,.1f} MB"
            case "B":
                return f"{value:,.0f} B"
            case "/s":
                return f"{value:,.0f} /s"
            case "ms":
                return f"{value:,.3f} ms" if value < 10 else f"{value:,.1f} ms"
            case "s":
                return f"{value:.3f} s"
            case "x":
                return f"{value:.2f} x"
            case _:
                return f"{value:,.0f}"


def _make() -> Iterator[Figure]:
    yield Figure("round-trip", "p50", "no-op round trip, p50", "ms")
    yield Figure("round-trip", "p99", "no-op round trip, p99", "ms")
    yield Figure("throughput", "per_second", "5,000 no-ops, end to end", "/s", True)
    yield Figure("obvious-loop", "per_second", "5,000 no-ops, one by one, then results", "/s", True)
    yield Figure("obvious-loop", "heard_per_second", "the same, with a callback", "/s", True)
    yield Figure("progress", "per_second", "progress at full speed", "/s", True)
    yield Figure("progress", "lost", "progress at full speed, lost of 50,000", "")
    yield Figure("paced", "p50", "progress at 1,000 /s, one way, p50", "ms")
    yield Figure("paced", "p99", "progress at 1,000 /s, one way, p99", "ms")
    yield Figure("paced", "lost", "progress at 1,000 /s, lost of 5,000", "")
    for workload, what in (("flood", "while progress floods"), ("spin", "while a task spins")):
        for call in ("ping", "status"):
            for key in ("p50", "p99", "max"):
                yield Figure(workload, f"{call}_{key}", f"{call} {what}, {key}", "ms")
    yield Figure("cancel", "last_p50", "cancel to the last instruction, p50", "ms")
    yield Figure("cancel", "last_max", "cancel to the last instruction, max", "ms")
    yield Figure("cancel", "next_p50", "cancel to the next task done, p50", "ms")
    yield Figure("cancel", "next_max", "cancel to the next task done, max", "ms")
    for call in ("submit", "ping", "status"):
        for depth in (0, 10_000, 100_000):
            yield Figure("queue", f"{call}_{depth}", f"{call} with {depth:,} queued, p50", "ms")
        for depth in (10_000, 100_000):
            title = f"{call} with {depth:,} queued, to none"
            yield Figure("queue", f"{call}_ratio_{depth}", title, "x")
    yield Figure("queue", "bytes_100000", "memory for one of 100,000 queued", "B")
    yield Figure("finished", "bytes", "memory for one ended record", "B")
    yield Figure("cold-start", "p50", "cold start to first result", "ms")
    yield Figure("idle", "cpu_seconds", "idle, CPU in 10 s", "s")
    yield Figure("idle", "bytes", "server and worker, resident", "MB")
    for count in (1, 10, 100):
        title = f"progress to {count} subscriber{'s' * (count > 1)}, all together"
        yield Figure("fan-out", f"per_second_{count}", title, "/s", True)
        yield Figure("fan-out", f"lost_{count}", f"the same, lost ({count})", "")


FIGURES: dict[str, Figure] = {figure.name: figure for figure in _make()}

TABLES: dict[str, dict[str, str]] = {
    "Tasks": {
        "round-trip.p50": "round trip, p50",
        "round-trip.p99": "p99",
        "throughput.per_second": "5,000 no-ops",
        "obvious-loop.per_second": "in the obvious loop",
        "obvious-loop.heard_per_second": "with a callback",
        "cold-start.p50": "cold start to first result",
        "idle.cpu_seconds": "idle CPU in 10 s",
        "idle.bytes": "resident",
    },
    "Progress": {
        "progress.per_second": "at full speed",
        "progress.lost": "lost of 50,000",
        "paced.p50": "one way, p50",
        "paced.p99": "p99",
        "fan-out.per_second_1": "to 1 subscriber",
        "fan-out.per_second_10": "to 10, together",
        "fan-out.per_second_100": "to 100, together",
    },
    "Answers, and cancels": {
        "flood.ping_p99": "`ping` under flood, p99",
        "flood.status_p99": "`status`, p99",
        "spin.ping_p99": "`ping` under spin, p99",
        "spin.status_p99": "`status`, p99",
        "cancel.last_p50": "cancel to the last instruction, p50",
        "cancel.next_p50": "to the next task done, p50",
    },
    "Queue": {
        "queue.submit_0": "submit with none queued",
        "queue.submit_100000": "with 100,000",
        "queue.ping_0": "`ping` with none",
        "queue.ping_100000": "with 100,000",
        "queue.status_0": "`status` with none",
        "queue.status_100000": "with 100,000",
        "queue.bytes_100000": "memory for each queued",
        "finished.bytes": "for each ended",
    },
}
"""The figures of each comparison table, with their headings."""
