"""The disruptions of a storm and the executions of its clients, derived from one seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from zmqruntime.messages import JsonObject

__all__ = [
    "CLIENTS",
    "PROXIES",
    "Disruption",
    "DisruptionKind",
    "Following",
    "PlannedExecution",
    "plan_disruptions",
    "plan_execution",
]

CLIENTS = 4
PROXIES = 2
"""The number of proxies, each before one of the last clients."""

_LONGEST_PAUSE_BETWEEN = 1.0


class DisruptionKind(StrEnum):
    """The kinds of disruptions."""

    KILL_SERVER = "kill the server"
    KILL_WORKER = "kill the worker"
    KILL_CLIENT = "kill a client"
    STOP_SERVER = "suspend the server"
    STOP_WORKER = "suspend the worker"
    STOP_CLIENT = "suspend a client"
    CUT = "cut a connection"

    @property
    def is_kill(self) -> bool:
        """Whether the disruption counts as a kill."""
        return self.value.startswith("kill")


_WEIGHTS = {
    DisruptionKind.KILL_SERVER: 3,
    DisruptionKind.KILL_WORKER: 2,
    DisruptionKind.KILL_CLIENT: 2,
    DisruptionKind.STOP_SERVER: 1,
    DisruptionKind.STOP_WORKER: 0.5,
    DisruptionKind.STOP_CLIENT: 0.5,
    DisruptionKind.CUT: 1,
}


@dataclass(frozen=True, slots=True)
class Disruption:
    """One disruption; times are in seconds."""

    after: float
    """The time since the previous disruption."""
    kind: DisruptionKind
    target: int
    """The number of the client, or of the proxy modulo their count."""
    seconds: float
    """How long a process is suspended, or a connection cut."""


class Following(StrEnum):
    """How a client waits for the end of an execution."""

    WAIT = "wait"
    PROGRESS = "progress"
    ATTACH = "attach"


@dataclass(frozen=True, slots=True)
class PlannedExecution:
    """The ``number``-th execution of one client."""

    execution_id: str
    number: int
    seconds: float
    """The duration of its task."""
    is_cancelled: bool
    """Whether its client cancels it."""
    following: Following

    @property
    def result(self) -> JsonObject:
        """The expected result."""
        return {"square": self.number**2}


def plan_disruptions(seed: int, kills: int) -> Iterator[Disruption]:
    """Yield disruptions, ``kills`` of which are kills."""
    rng = random.Random(f"disruptions {seed}")
    kinds, weights = list(_WEIGHTS), list(_WEIGHTS.values())
    while kills:
        (kind,) = rng.choices(kinds, weights)
        yield Disruption(
            after=rng.uniform(0.05, _LONGEST_PAUSE_BETWEEN),
            kind=kind,
            target=rng.randrange(CLIENTS),
            seconds=rng.uniform(0.1, 1.0),
        )
        kills -= kind.is_kill


def plan_execution(seed: int, client: int, number: int) -> PlannedExecution:
    """Return the ``number``-th execution of a client; the same for the same seed."""
    rng = random.Random(f"planned {seed} {client} {number}")
    longest = rng.choices([0.0, 0.02, 0.1, 0.4], [24, 6, 3, 1])[0]
    return PlannedExecution(
        execution_id=f"{client}-{number}",
        number=number,
        seconds=rng.uniform(0.0, longest),
        is_cancelled=rng.random() < 0.03,
        following=rng.choices(list(Following), [6, 2, 2])[0],
    )
