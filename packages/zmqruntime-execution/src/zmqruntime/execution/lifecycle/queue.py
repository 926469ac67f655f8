"""The order of those that wait: by arrival and priority, or in turns between clients.

Every change and every question costs a logarithm of the queue's length, whatever its order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from enum import StrEnum
from itertools import count, islice
from typing import TYPE_CHECKING

from sortedcontainers import SortedList

if TYPE_CHECKING:
    from zmqruntime.execution.lifecycle.execution import Execution

__all__ = ["ExecutionQueue", "FairQueue", "FifoQueue", "QueuePolicy", "make_queue"]

Place = tuple[float, int]
"""Where an entry stands: the first part decides, the second one among equals."""


class QueuePolicy(StrEnum):
    """Whose turn is next in a queue."""

    FIFO = "fifo"
    """The highest priority's; among equals, who came first."""
    FAIR = "fair"
    """Another client's; of its own, as under ``fifo``."""


class ExecutionQueue(ABC):
    """Executions in the order in which they will run."""

    @abstractmethod
    def add(self, execution: Execution) -> None:
        """Let an execution wait, where its priority, its ticket and its client put it."""

    @abstractmethod
    def take(self, execution: Execution) -> None:
        """Let an execution wait no longer, since it runs: its client has had a turn."""

    @abstractmethod
    def put_back(self, execution: Execution) -> None:
        """Undo the latest `take`, of this execution: its client's turn is the next one again."""

    @abstractmethod
    def drop(self, execution: Execution) -> None:
        """Let an execution wait no longer, without a turn."""

    @abstractmethod
    def peek(self) -> Execution | None:
        """Return the next one."""

    @abstractmethod
    def index(self, execution: Execution) -> int:
        """Return how many are before it."""

    @abstractmethod
    def page(self, limit: int, after: Place | None) -> tuple[int, list[tuple[Place, Execution]]]:
        """Return up to ``limit`` behind a place, with theirs, and how many are before them."""

    @abstractmethod
    def __len__(self) -> int:
        """Return how many wait."""


class FifoQueue(ExecutionQueue):
    """The highest priority first; among equals, who came first."""

    def __init__(self) -> None:
        self._places: SortedList[Place] = SortedList()
        self._waiting: dict[Place, Execution] = {}

    def add(self, execution: Execution) -> None:
        place = _rank(execution)
        self._places.add(place)
        self._waiting[place] = execution

    def take(self, execution: Execution) -> None:
        place = _rank(execution)
        del self._waiting[place]
        if not self._waiting:
            self._places.clear()
            # Else the first of few is looked for behind the empty slots of all that were there.
            self._waiting.clear()
        elif self._places[0] == place:  # As nearly every time.
            self._places.pop(0)
        else:
            self._places.remove(place)

    drop = take
    put_back = add

    def peek(self) -> Execution | None:
        if len(self._waiting) > 1:
            return self._waiting[self._places[0]]
        # One alone, as when the worker keeps up with its clients, is found without its place.
        return next(iter(self._waiting.values()), None)

    def index(self, execution: Execution) -> int:
        return self._places.index(_rank(execution))

    def page(self, limit: int, after: Place | None) -> tuple[int, list[tuple[Place, Execution]]]:
        first = self._places.bisect_right(after) if after is not None else 0
        places = self._places[first : first + limit]
        return first, [(place, self._waiting[place]) for place in places]

    def iterate(self, first: int) -> Iterator[Execution]:
        """Iterate over all from the one with ``first`` before it."""
        return (self._waiting[place] for place in self._places.islice(first))

    def __len__(self) -> int:
        return len(self._waiting)


class _Lane:
    """One client's own queue. Its n-th entry runs in the n-th round from ``next_round`` on."""

    __slots__ = ("entries", "next_round", "number")

    def __init__(self, number: int, next_round: int) -> None:
        self.number = number
        self.next_round = next_round
        self.entries = FifoQueue()

    @property
    def next_turn(self) -> Place:
        return (self.next_round, self.number)

    @property
    def last_turn(self) -> Place:
        return (self.next_round + len(self.entries) - 1, self.number)


class FairQueue(ExecutionQueue):
    """One of each client in a round, and round after round.

    A client that comes, or comes back, while a round goes on has its turn in the next one, behind
    those who wait for theirs already: so each round ends, whoever comes. A client's turns are not
    those of certain executions: when one is dropped, or one of a higher priority comes, the
    others move to other turns.
    """

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane] = {}
        self._by_number: dict[int, _Lane] = {}
        self._turns: SortedList[Place] = SortedList()
        self._numbers = count()
        self._round = 0
        """The one that goes on, or has just ended."""
        self._taken = (0, 0)
        """The latest turn that was taken: its round, and its lane's number."""

    def add(self, execution: Execution) -> None:
        client_id = execution.client_id
        lane = self._lanes.get(client_id)
        if lane is None:
            lane = self._open(client_id, next(self._numbers), self._round + 1)
        lane.entries.add(execution)
        self._turns.add(lane.last_turn)

    def take(self, execution: Execution) -> None:
        lane = self._lanes[execution.client_id]
        self._taken = lane.next_round, lane.number
        self._turns.remove(lane.next_turn)
        self._round = max(self._round, lane.next_round)
        lane.next_round += 1
        self._remove(lane, execution)

    def put_back(self, execution: Execution) -> None:
        client_id, (taken_round, number) = execution.client_id, self._taken
        lane = self._lanes.get(client_id)
        later: list[Execution] = []
        if lane is not None and lane.number != number:  # It was empty, and came back since.
            later = list(lane.entries.iterate(0))
            for entry in later:
                self.drop(entry)
            lane = None
        if lane is None:
            lane = self._open(client_id, number, taken_round)
        else:
            lane.next_round -= 1
        lane.entries.add(execution)
        self._turns.add(lane.next_turn)
        for entry in later:
            self.add(entry)

    def drop(self, execution: Execution) -> None:
        lane = self._lanes[execution.client_id]
        self._turns.remove(lane.last_turn)
        self._remove(lane, execution)

    def peek(self) -> Execution | None:
        return self._by_number[self._turns[0][1]].entries.peek() if self._turns else None

    def index(self, execution: Execution) -> int:
        lane = self._lanes[execution.client_id]
        turn = (lane.next_round + lane.entries.index(execution), lane.number)
        return self._turns.index(turn)

    def page(self, limit: int, after: Place | None) -> tuple[int, list[tuple[Place, Execution]]]:
        first = self._turns.bisect_right(after) if after is not None else 0
        return first, list(islice(self._from(first), limit))

    def _from(self, first: int) -> Iterator[tuple[Place, Execution]]:
        ahead: dict[int, Iterator[Execution]] = {}
        for turn in self._turns.islice(first):
            lane = self._by_number[turn[1]]
            if lane.number not in ahead:
                ahead[lane.number] = lane.entries.iterate(int(turn[0]) - lane.next_round)
            yield turn, next(ahead[lane.number])

    def __len__(self) -> int:
        return len(self._turns)

    def _open(self, client_id: str, number: int, next_round: int) -> _Lane:
        lane = _Lane(number, next_round)
        self._lanes[client_id] = self._by_number[number] = lane
        return lane

    def _remove(self, lane: _Lane, execution: Execution) -> None:
        lane.entries.drop(execution)
        if not lane.entries:
            del self._lanes[execution.client_id], self._by_number[lane.number]


def make_queue(policy: QueuePolicy) -> ExecutionQueue:
    """Return an empty queue."""
    return FairQueue() if policy is QueuePolicy.FAIR else FifoQueue()


def _rank(execution: Execution) -> Place:
    return (-execution.priority, execution.ticket)
