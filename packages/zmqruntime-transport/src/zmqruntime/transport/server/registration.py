"""Registrations, and the subscriptions of the data channel that complete them.

A registration is acknowledged only when the client's own subscription has arrived, so that no
later event is lost to a slow joiner. The XPUB socket reports every subscription and the end of each
(ZMQ_XPUB_VERBOSER), also equal ones of two clients with one id; each completes one registration. It
completes no second one after the first is unregistered: the end of a subscription arrives late, and
a client that returns with the same id may not have subscribed yet.

A client that accepts arrays of events marks each of its subscriptions by a further one, which
arrives after it and ends with it. So arrays are accepted by all subscribers if both are equally
many. The marks of a prefix end with its last subscription: a socket may send a mark twice, and the
end of both is reported once.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import NamedTuple, TypeVar

from zmqruntime.messages import ARRAYS_MARK, ClientId, ProgressScope, make_topic_prefix
from zmqruntime.transport.envelope import Caller

__all__ = ["Registrations"]

_K = TypeVar("_K")

_SUBSCRIBE = 1
_UNSUBSCRIBE = 0
_ALL_TOPICS = b""


class _Wait(NamedTuple):
    """A registration that waits for its subscription; ``number`` is its place in the order."""

    number: int
    client_id: ClientId
    scope: ProgressScope


class _Queue:
    """The waiting registrations of one prefix, by scope, oldest first."""

    __slots__ = ("all", "own")

    def __init__(self) -> None:
        self.own: dict[Caller, _Wait] = {}
        self.all: dict[Caller, _Wait] = {}

    def of(self, scope: ProgressScope) -> dict[Caller, _Wait]:
        return self.all if scope is ProgressScope.ALL else self.own


class Registrations:
    """The current subscriptions, the registered clients, and the waiting registrations.

    Each operation takes constant time, plus the registrations that it completes.
    """

    def __init__(self) -> None:
        self._subscribed: Counter[bytes] = Counter()
        self._marked: Counter[bytes] = Counter()
        self._unequal = 0
        """The number of prefixes whose subscriptions and marks are not equally many."""
        self._unclaimed: Counter[bytes] = Counter()
        self._registered: Counter[ClientId] = Counter()
        self._waiting: dict[Caller, _Wait] = {}
        self._queues: dict[bytes, _Queue] = {}
        self._lacks_all_topics: set[bytes] = set()
        """The prefixes of waiting clients of scope ``all`` that lack only the empty prefix."""
        self._numbers = itertools.count()

    @property
    def all_accept_arrays(self) -> bool:
        """Whether there are subscribers, and all of them accept arrays of events."""
        return bool(self._subscribed) and not self._unequal

    @property
    def clients(self) -> tuple[ClientId, ...]:
        """The registered clients, in the order of registration."""
        return tuple(self._registered)

    @property
    def client_count(self) -> int:
        """The number of registered clients."""
        return len(self._registered)

    @property
    def has_subscribers(self) -> bool:
        """Whether there is a subscription to publish to."""
        return bool(self._subscribed)

    @property
    def waiting(self) -> tuple[Caller, ...]:
        """The callers whose registrations wait, oldest first."""
        return tuple(self._waiting)

    def list_clients(self, limit: int) -> tuple[ClientId, ...]:
        """Return up to ``limit`` registered clients, in the order of registration."""
        return tuple(itertools.islice(self._registered, limit))

    def register(self, client_id: ClientId, scope: ProgressScope, caller: Caller) -> bool:
        """Register a client, if its subscription has arrived; False: the registration waits."""
        prefix = make_topic_prefix(client_id)
        if self._claim(client_id, prefix, scope):
            return True
        wait = self._waiting[caller] = _Wait(next(self._numbers), client_id, scope)
        self._queues.setdefault(prefix, _Queue()).of(scope)[caller] = wait
        self._update_lacks_all_topics(prefix)
        return False

    def unregister(self, client_id: ClientId) -> None:
        """Remove a client, registered or not. It ends its subscriptions itself."""
        if client_id in self._registered:
            _set_count(self._registered, client_id, self._registered[client_id] - 1)

    def cancel_wait(self, caller: Caller) -> bool | None:
        """Cancel a waiting registration, and return whether its client is registered anyway.

        So it is after two requests, the first of which claimed the subscription. None: no
        registration of this caller waits.
        """
        waited = self._waiting.get(caller)
        if waited is None:
            return None
        prefix = make_topic_prefix(waited.client_id)
        self._end_wait(caller, prefix, waited)
        self._update_lacks_all_topics(prefix)
        return waited.client_id in self._registered and self._is_subscribed(prefix, waited.scope)

    def apply(self, frame: bytes, times: int = 1) -> list[tuple[Caller, ClientId]]:
        """Apply a frame of the XPUB socket; return the registrations that it completes.

        Args:
            frame: a subscription, or its end.
            times: how many subscriptions begin or end by it.
        """
        if not frame or frame[0] not in (_SUBSCRIBE, _UNSUBSCRIBE):
            return []
        begins, prefix = frame[0] == _SUBSCRIBE, frame[1:]
        if prefix.startswith(ARRAYS_MARK):
            prefix = prefix.removeprefix(ARRAYS_MARK)
            self._count(self._marked, prefix, times if begins else -times)
            return []
        self._count(self._subscribed, prefix, times if begins else -times)
        if begins:
            self._unclaimed[prefix] += times
            return self._complete_waiting(prefix)
        self._limit_claims(prefix, self._subscribed[prefix])
        return []

    def _count(self, counts: Counter[bytes], prefix: bytes, change: int) -> None:
        """Add to the count of a prefix."""
        were_unequal = self._subscribed[prefix] != self._marked[prefix]
        _set_count(counts, prefix, counts[prefix] + change)
        if change < 0 and prefix not in self._subscribed:
            self._marked.pop(prefix, None)
        self._unequal += (self._subscribed[prefix] != self._marked[prefix]) - were_unequal

    def _complete_waiting(self, prefix: bytes) -> list[tuple[Caller, ClientId]]:
        """Complete the registrations that a new subscription to ``prefix`` allows."""
        waits: list[tuple[int, Caller, ClientId]] = []
        prefixes = {prefix} if prefix in self._queues else set()
        if prefix == _ALL_TOPICS:
            prefixes |= self._lacks_all_topics
        # Clients are registered in the order of their requests.
        for candidate in sorted(prefixes, key=self._find_number):
            while (first := self._find_first(candidate)) is not None:
                caller, wait = first
                if not self._claim(wait.client_id, candidate, wait.scope):
                    break
                self._end_wait(caller, candidate, wait)
                waits.append((wait.number, caller, wait.client_id))
            self._update_lacks_all_topics(candidate)
        waits.sort()
        return [(caller, client_id) for _, caller, client_id in waits]

    def _find_first(self, prefix: bytes) -> tuple[Caller, _Wait] | None:
        """Return the oldest waiting registration that lacks only ``prefix``."""
        queue = self._queues.get(prefix)
        if queue is None:
            return None
        scopes = [queue.own, queue.all] if _ALL_TOPICS in self._subscribed else [queue.own]
        firsts = [next(iter(waits.items())) for waits in scopes if waits]
        return min(firsts, key=lambda first: first[1].number, default=None)

    def _find_number(self, prefix: bytes) -> float:
        first = self._find_first(prefix)
        return math.inf if first is None else first[1].number

    def _end_wait(self, caller: Caller, prefix: bytes, wait: _Wait) -> None:
        del self._waiting[caller]
        queue = self._queues[prefix]
        del queue.of(wait.scope)[caller]
        if not queue.own and not queue.all:
            del self._queues[prefix]

    def _update_lacks_all_topics(self, prefix: bytes) -> None:
        queue = self._queues.get(prefix)
        if queue is not None and queue.all and prefix in self._unclaimed:
            self._lacks_all_topics.add(prefix)
        else:
            self._lacks_all_topics.discard(prefix)

    def _claim(self, client_id: ClientId, prefix: bytes, scope: ProgressScope) -> bool:
        if prefix not in self._unclaimed or not self._is_subscribed(prefix, scope):
            return False
        _set_count(self._unclaimed, prefix, self._unclaimed[prefix] - 1)
        self._registered[client_id] += 1
        self._update_lacks_all_topics(prefix)
        return True

    def _is_subscribed(self, prefix: bytes, scope: ProgressScope) -> bool:
        if scope is ProgressScope.ALL and _ALL_TOPICS not in self._subscribed:
            return False
        return prefix in self._subscribed

    def _limit_claims(self, prefix: bytes, limit: int) -> None:
        """Keep at most ``limit`` unclaimed subscriptions and registrations of a prefix."""
        _set_count(self._unclaimed, prefix, min(limit, self._unclaimed[prefix]))
        self._update_lacks_all_topics(prefix)
        # Other prefixes belong to no client.
        client_id = prefix.removesuffix(b"/").decode(errors="replace")
        if make_topic_prefix(client_id) == prefix:
            _set_count(self._registered, client_id, min(limit, self._registered[client_id]))


def _set_count(counts: Counter[_K], key: _K, count: int) -> None:
    """Set a count; remove one that is zero."""
    if count > 0:
        counts[key] = count
    else:
        counts.pop(key, None)
