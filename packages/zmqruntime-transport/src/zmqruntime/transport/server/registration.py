"""Who listens to the data channel: subscriptions as the publisher sees them arrive and go.

A registration is acknowledged only when the client's own subscription has been seen, so that
no event after it can be lost to a slow joiner. The XPUB socket reports every subscription and
the end of each (ZMQ_XPUB_VERBOSER), those of two clients with one id as well; each of them
lets one registration pass. It lets no second one pass when the first is unregistered: the end of
a subscription arrives late, and who comes back with the same id may not have subscribed yet.

A client that takes arrays of events says so by further subscriptions, one for each that it has.
They come behind those and go with them, so counting tells whether everybody takes arrays. When
nobody is left on a prefix, nobody is there who has said so of it: a socket may say it twice, and
the end of that is reported once.
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
_EVERYTHING = b""


class _Wait(NamedTuple):
    """A registration that waits for a subscription; ``number`` gives their order."""

    number: int
    client_id: ClientId
    scope: ProgressScope


class _Queue:
    """The callers that wait for one client's subscription, by scope, each the longest first."""

    __slots__ = ("all", "own")

    def __init__(self) -> None:
        self.own: dict[Caller, _Wait] = {}
        self.all: dict[Caller, _Wait] = {}

    def of(self, scope: ProgressScope) -> dict[Caller, _Wait]:
        return self.all if scope is ProgressScope.ALL else self.own


class Registrations:
    """The subscriptions seen, the clients registered, and the callers who wait to be.

    Each operation takes constant time, however many there are of each, beside what it settles.
    """

    def __init__(self) -> None:
        self._seen: Counter[bytes] = Counter()
        self._marked: Counter[bytes] = Counter()
        self._unequal = 0
        """How many prefixes are not in `_seen` as often as in `_marked`."""
        self._unclaimed: Counter[bytes] = Counter()
        self._registered: Counter[ClientId] = Counter()
        self._waiting: dict[Caller, _Wait] = {}
        self._queues: dict[bytes, _Queue] = {}
        self._lacks_everything: set[bytes] = set()
        """The prefixes of clients of scope ``all`` that lack nothing but the empty prefix."""
        self._numbers = itertools.count()

    @property
    def all_take_arrays(self) -> bool:
        """Whether somebody is subscribed, and nobody who gets one event in each message."""
        return bool(self._seen) and not self._unequal

    @property
    def clients(self) -> tuple[ClientId, ...]:
        """Every registered client, in the order of registration."""
        return tuple(self._registered)

    @property
    def client_count(self) -> int:
        """How many clients are registered."""
        return len(self._registered)

    @property
    def anybody(self) -> bool:
        """Whether any subscription is there to publish to."""
        return bool(self._seen)

    @property
    def waiting(self) -> tuple[Caller, ...]:
        """Who waits to be registered, the longest first."""
        return tuple(self._waiting)

    def list_clients(self, limit: int) -> tuple[ClientId, ...]:
        """Return up to ``limit`` registered clients, in the order of registration."""
        return tuple(itertools.islice(self._registered, limit))

    def register(self, client_id: ClientId, scope: ProgressScope, caller: Caller) -> bool:
        """Register a client whose subscription was seen; else let the caller wait for it."""
        prefix = make_topic_prefix(client_id)
        if self._claim(client_id, prefix, scope):
            return True
        wait = self._waiting[caller] = _Wait(next(self._numbers), client_id, scope)
        self._queues.setdefault(prefix, _Queue()).of(scope)[caller] = wait
        self._note_what_lacks(prefix)
        return False

    def unregister(self, client_id: ClientId) -> None:
        """Forget a client, registered or not; its subscriptions are its own to end."""
        if client_id in self._registered:
            _set_count(self._registered, client_id, self._registered[client_id] - 1)

    def give_up(self, caller: Caller) -> bool | None:
        """End a wait, and return whether the caller is registered all the same.

        It is when its id is registered: then it asked twice, and the first time claimed the
        subscription. None: the caller waits no more.
        """
        waited = self._waiting.get(caller)
        if waited is None:
            return None
        prefix = make_topic_prefix(waited.client_id)
        self._end_wait(caller, prefix, waited)
        self._note_what_lacks(prefix)
        return waited.client_id in self._registered and self._is_subscribed(prefix, waited.scope)

    def saw(self, frame: bytes, times: int = 1) -> list[tuple[Caller, ClientId]]:
        """Take one frame of the XPUB socket; return the callers whose wait it ends.

        Args:
            frame: a subscription, or its end.
            times: how many subscriptions come or end by it.
        """
        if not frame or frame[0] not in (_SUBSCRIBE, _UNSUBSCRIBE):
            return []
        comes, prefix = frame[0] == _SUBSCRIBE, frame[1:]
        if prefix.startswith(ARRAYS_MARK):
            prefix = prefix.removeprefix(ARRAYS_MARK)
            self._count(self._marked, prefix, times if comes else -times)
            return []
        self._count(self._seen, prefix, times if comes else -times)
        if comes:
            self._unclaimed[prefix] += times
            return self._settle(prefix)
        self._forget_beyond(prefix, self._seen[prefix])
        return []

    def _count(self, counts: Counter[bytes], prefix: bytes, change: int) -> None:
        """Count subscriptions that come or go."""
        were_unequal = self._seen[prefix] != self._marked[prefix]
        _set_count(counts, prefix, counts[prefix] + change)
        if change < 0 and prefix not in self._seen:
            self._marked.pop(prefix, None)
        self._unequal += (self._seen[prefix] != self._marked[prefix]) - were_unequal

    def _settle(self, prefix: bytes) -> list[tuple[Caller, ClientId]]:
        """Register the callers for which a subscription to ``prefix`` was all that lacked."""
        waits: list[tuple[int, Caller, ClientId]] = []
        prefixes = {prefix} if prefix in self._queues else set()
        if prefix == _EVERYTHING:
            prefixes |= self._lacks_everything
        # Not in the order of the set: clients are registered in the order of their waits.
        for candidate in sorted(prefixes, key=self._find_number):
            while (first := self._find_first(candidate)) is not None:
                caller, wait = first
                if not self._claim(wait.client_id, candidate, wait.scope):
                    break
                self._end_wait(caller, candidate, wait)
                waits.append((wait.number, caller, wait.client_id))
            self._note_what_lacks(candidate)
        waits.sort()
        return [(caller, client_id) for _, caller, client_id in waits]

    def _find_first(self, prefix: bytes) -> tuple[Caller, _Wait] | None:
        """Return who waits longest for ``prefix`` and for nothing else that is not there."""
        queue = self._queues.get(prefix)
        if queue is None:
            return None
        scopes = [queue.own, queue.all] if _EVERYTHING in self._seen else [queue.own]
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

    def _note_what_lacks(self, prefix: bytes) -> None:
        queue = self._queues.get(prefix)
        if queue is not None and queue.all and prefix in self._unclaimed:
            self._lacks_everything.add(prefix)
        else:
            self._lacks_everything.discard(prefix)

    def _claim(self, client_id: ClientId, prefix: bytes, scope: ProgressScope) -> bool:
        if prefix not in self._unclaimed or not self._is_subscribed(prefix, scope):
            return False
        _set_count(self._unclaimed, prefix, self._unclaimed[prefix] - 1)
        self._registered[client_id] += 1
        self._note_what_lacks(prefix)
        return True

    def _is_subscribed(self, prefix: bytes, scope: ProgressScope) -> bool:
        if scope is ProgressScope.ALL and _EVERYTHING not in self._seen:
            return False
        return prefix in self._seen

    def _forget_beyond(self, prefix: bytes, most: int) -> None:
        """Keep no more claims and registrations than there are subscriptions."""
        _set_count(self._unclaimed, prefix, min(most, self._unclaimed[prefix]))
        self._note_what_lacks(prefix)
        # Else it is no client's, and has none registered.
        client_id = prefix.removesuffix(b"/").decode(errors="replace")
        if make_topic_prefix(client_id) == prefix:
            _set_count(self._registered, client_id, min(most, self._registered[client_id]))


def _set_count(counts: Counter[_K], key: _K, count: int) -> None:
    """Set a count, and keep none that is zero."""
    if count > 0:
        counts[key] = count
    else:
        counts.pop(key, None)
