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

from collections import Counter
from typing import TypeVar

from zmqruntime.messages import ARRAYS_MARK, ClientId, ProgressScope, make_topic_prefix
from zmqruntime.transport.envelope import Caller

__all__ = ["Registrations"]

_K = TypeVar("_K")

_SUBSCRIBE = 1
_UNSUBSCRIBE = 0


class Registrations:
    """The subscriptions seen, the clients registered, and the callers who wait to be."""

    def __init__(self) -> None:
        self._seen: Counter[bytes] = Counter()
        self._marked: Counter[bytes] = Counter()
        self.all_take_arrays = False
        """Whether somebody is subscribed, and nobody who gets one event in each message."""
        self._unclaimed: Counter[bytes] = Counter()
        self._registered: Counter[ClientId] = Counter()
        self._waiting: dict[Caller, tuple[ClientId, ProgressScope]] = {}

    @property
    def clients(self) -> tuple[ClientId, ...]:
        """Every registered client, in the order of registration."""
        return tuple(self._registered)

    @property
    def anybody(self) -> bool:
        """Whether any subscription is there to publish to."""
        return bool(self._seen)

    @property
    def waiting(self) -> tuple[Caller, ...]:
        """Who waits to be registered, the longest first."""
        return tuple(self._waiting)

    def register(self, client_id: ClientId, scope: ProgressScope, caller: Caller) -> bool:
        """Register a client whose subscription was seen; else let the caller wait for it."""
        if self._claim(client_id, scope):
            return True
        self._waiting[caller] = (client_id, scope)
        return False

    def unregister(self, client_id: ClientId) -> None:
        """Forget a client, registered or not; its subscriptions are its own to end."""
        if client_id in self._registered:
            _take_one(self._registered, client_id)

    def give_up(self, caller: Caller) -> bool | None:
        """End a wait, and return whether the caller is registered all the same.

        It is when its id is registered: then it asked twice, and the first time claimed the
        subscription. None: the caller waits no more.
        """
        waited = self._waiting.pop(caller, None)
        if waited is None:
            return None
        client_id, scope = waited
        return client_id in self._registered and self._is_subscribed(client_id, scope)

    def saw(self, frame: bytes) -> list[tuple[Caller, ClientId]]:
        """Take one frame of the XPUB socket; return the callers whose wait it ends."""
        if not frame or frame[0] not in (_SUBSCRIBE, _UNSUBSCRIBE):
            return []
        comes, prefix = frame[0] == _SUBSCRIBE, frame[1:]
        if prefix.startswith(ARRAYS_MARK):
            self._count(self._marked, prefix.removeprefix(ARRAYS_MARK), comes=comes)
            return []
        self._count(self._seen, prefix, comes=comes)
        if comes:
            self._unclaimed[prefix] += 1
            return self._settle()
        self._forget_beyond(prefix, self._seen[prefix])
        return []

    def _count(self, counts: Counter[bytes], prefix: bytes, *, comes: bool) -> None:
        """Count a subscription that comes or goes."""
        if comes:
            counts[prefix] += 1
        else:
            _take_one(counts, prefix)
            if prefix not in self._seen:
                self._marked.pop(prefix, None)
        # As dicts, since counters are slow to compare, and none of these keeps a zero.
        self.all_take_arrays = bool(self._seen) and dict.__eq__(self._seen, self._marked)

    def _settle(self) -> list[tuple[Caller, ClientId]]:
        settled = []
        for caller, (client_id, scope) in list(self._waiting.items()):
            if self._claim(client_id, scope):
                del self._waiting[caller]
                settled.append((caller, client_id))
        return settled

    def _claim(self, client_id: ClientId, scope: ProgressScope) -> bool:
        prefix = make_topic_prefix(client_id)
        if not self._unclaimed[prefix] or not self._is_subscribed(client_id, scope):
            return False
        _take_one(self._unclaimed, prefix)
        self._registered[client_id] += 1
        return True

    def _is_subscribed(self, client_id: ClientId, scope: ProgressScope) -> bool:
        if scope is ProgressScope.ALL and b"" not in self._seen:
            return False
        return make_topic_prefix(client_id) in self._seen

    def _forget_beyond(self, prefix: bytes, most: int) -> None:
        """Keep no more claims and registrations than there are subscriptions."""
        while self._unclaimed[prefix] > most:
            _take_one(self._unclaimed, prefix)
        for client_id in [c for c in self._registered if make_topic_prefix(c) == prefix]:
            while self._registered[client_id] > most:
                _take_one(self._registered, client_id)


def _take_one(counts: Counter[_K], key: _K) -> None:
    counts[key] -= 1
    if counts[key] <= 0:
        del counts[key]
