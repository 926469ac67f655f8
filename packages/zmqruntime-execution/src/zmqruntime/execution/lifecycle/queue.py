"""The queue: by priority and arrival, or in turns between clients.

Every operation costs a logarithm of the queue's length.
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
"""The sort key of an entry: the second part orders entries with the same first part."""


class QueuePolicy(StrEnum):
    """The order of a queue."""

    FIFO = "fifo"
    """The highest priority first; within a priority, in the order of arrival."""
    FAIR = "fair"
    """Clients take turns; the executions of each are ordered as under ``fifo``."""


class ExecutionQueue(ABC):
    """Queued executions in the order in which they will run."""

    @abstractmethod
    def add(self, execution: Execution) -> None:
        """Queue an execution, by its priority, its ticket and its client."""

    @abstractmethod
    def take(self, execution: Execution) -> None:
        """Remove an execution that runs: it uses a turn of its client."""

    @abstractmethod
    def put_back(self, execution: Execution) -> None:
        """Undo the latest `take`, of this execution: its client has the next turn again."""

    @abstractmethod
    def drop(self, execution: Execution) -> None:
        """Remove an execution without using a turn."""

    @abstractmethod
    def peek(self) -> Execution | None:
        """Return the next execution."""

    @abstractmethod
    def index(self, execution: Execution) -> int:
        """Return how many executions are ahead of this one."""

    @abstractmethod
    def page(self, limit: int, after: Place | None) -> tuple[int, list[tuple[Place, Execution]]]:
        """Return up to ``limit`` entries after a place, and how many are ahead of them."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of queued executions."""


class FifoQueue(ExecutionQueue):
    """The highest priority first; within a priority, in the order of arrival."""

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
            # A dict keeps the slots of removed entries, and `peek` would scan them.
            self._waiting.clear()
        elif self._places[0] == place:  # The usual case.
            self._places.pop(0)
        else:
            self._places.remove(place)

    drop = take
    put_back = add

    def peek(self) -> Execution | None:
        if len(self._waiting) > 1:
            return self._waiting[self._places[0]]
        # A single entry, as when the worker keeps up with its clients, needs no sorted list.
        return next(iter(self._waiting.values()), None)

    def index(self, execution: Execution) -> int:
        return self._places.index(_rank(execution))

    def page(self, limit: int, after: Place | None) -> tuple[int, list[tuple[Place, Execution]]]:
        first = self._places.bisect_right(after) if after is not None else 0
        places = self._places[first : first + limit]
        return first, [(place, self._waiting[place]) for place in places]

    def iterate(self, first: int) -> Iterator[Execution]:
        """Iterate over the entries from index ``first``."""
        return (self._waiting[place] for place in self._places.islice(first))

    def __len__(self) -> int:
        return len(self._waiting)


class _Lane:
    """The queue of one client. Its n-th entry runs in the n-th round from ``next_round`` on."""

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
    """Round robin between clients: one execution of each client in a round.

    A client that arrives during a round has its first turn in the next one, behind the clients that
    are already there: so each round ends. Turns belong to clients and not to executions: when one
    is dropped, or one of a higher priority arrives, the others move to other turns.
    """

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane] = {}
        self._by_number: dict[int, _Lane] = {}
        self._turns: SortedList[Place] = SortedList()
        self._numbers = count()
        self._round = 0
        """The present round, or the last one."""
        self._taken = (0, 0)
        """The latest turn that was used: its round, and its lane's number."""

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
        if lane is not None and lane.number != number:  # The client had left, and is back.
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
