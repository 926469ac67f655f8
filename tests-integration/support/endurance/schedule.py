"""What a storm does to whom and when, and what its clients want: all of it from one seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from zmqruntime.messages import JsonObject

__all__ = ["CLIENTS", "PROXIES", "Blow", "Deed", "Following", "Wish", "plan_blows", "plan_wish"]

CLIENTS = 4
PROXIES = 2
"""Before the last ones of the clients."""

_LONGEST_PAUSE_BETWEEN = 1.0


class Deed(StrEnum):
    """What is done to somebody."""

    KILL_SERVER = "kill the server"
    KILL_WORKER = "kill the worker"
    KILL_CLIENT = "kill a client"
    STOP_SERVER = "stop the server for a while"
    STOP_WORKER = "stop the worker for a while"
    STOP_CLIENT = "stop a client for a while"
    CUT = "cut a connection"

    @property
    def is_kill(self) -> bool:
        """Whether it counts."""
        return self.value.startswith("kill")


_WEIGHTS = {
    Deed.KILL_SERVER: 3,
    Deed.KILL_WORKER: 2,
    Deed.KILL_CLIENT: 2,
    Deed.STOP_SERVER: 1,
    Deed.STOP_WORKER: 0.5,
    Deed.STOP_CLIENT: 0.5,
    Deed.CUT: 1,
}


@dataclass(frozen=True, slots=True)
class Blow:
    """One deed; times are in seconds."""

    after: float
    """How long behind the last one."""
    deed: Deed
    whom: int
    """Which client; which proxy, modulo their number."""
    lasts: float
    """How long somebody is stopped, or a connection cut."""


class Following(StrEnum):
    """How a client learns of the end of an execution."""

    WAIT = "wait"
    PROGRESS = "progress"
    ATTACH = "attach"


@dataclass(frozen=True, slots=True)
class Wish:
    """The ``number``-th execution of one client."""

    execution_id: str
    number: int
    seconds: float
    """How long its task takes."""
    cancels: bool
    """Whether its client changes its mind."""
    following: Following

    @property
    def result(self) -> JsonObject:
        """What it has to come to."""
        return {"square": self.number**2}


def plan_blows(seed: int, kills: int) -> Iterator[Blow]:
    """Yield blows until ``kills`` of them were kills."""
    dice = random.Random(f"blows {seed}")
    deeds, weights = list(_WEIGHTS), list(_WEIGHTS.values())
    while kills:
        (deed,) = dice.choices(deeds, weights)
        yield Blow(
            after=dice.uniform(0.05, _LONGEST_PAUSE_BETWEEN),
            deed=deed,
            whom=dice.randrange(CLIENTS),
            lasts=dice.uniform(0.1, 1.0),
        )
        kills -= deed.is_kill


def plan_wish(seed: int, client: int, number: int) -> Wish:
    """Return what a client submits as its ``number``-th: always the same."""
    dice = random.Random(f"wish {seed} {client} {number}")
    longest = dice.choices([0.0, 0.02, 0.1, 0.4], [24, 6, 3, 1])[0]
    return Wish(
        execution_id=f"{client}-{number}",
        number=number,
        seconds=dice.uniform(0.0, longest),
        cancels=dice.random() < 0.03,
        following=dice.choices(list(Following), [6, 2, 2])[0],
    )
