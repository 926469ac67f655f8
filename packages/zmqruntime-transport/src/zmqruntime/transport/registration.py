"""Who listens to the data channel: subscriptions as the publisher sees them arrive and go.

A registration is acknowledged only when the client's own subscription has been seen, so that
no event after it can be lost to a slow joiner. The XPUB socket reports every subscription and
the end of each (ZMQ_XPUB_VERBOSER), those of two clients with one id as well; each of them
lets one registration pass. It lets no second one pass when the first is unregistered: the end of
a subscription arrives late, and who comes back with the same id may not have subscribed yet.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple, TypeVar

from zmqruntime.messages import ClientId, ProgressScope, make_topic_prefix
from zmqruntime.transport.envelope import Caller

__all__ = ["Registrations"]

_K = TypeVar("_K")

_SUBSCRIBE = 1
_UNSUBSCRIBE = 0


class _Wish(NamedTuple):
    """What a client registers for."""

    client_id: ClientId
    scope: ProgressScope
    batches: bool

    @property
    def prefixes(self) -> tuple[bytes, ...]:
        """What it has to be subscribed to."""
        own = make_topic_prefix(self.client_id)
        return (b"", own) if self.scope is ProgressScope.ALL else (own,)


class Registrations:
    """The subscriptions seen, the clients registered, and the callers who wait to be."""

    def __init__(self) -> None:
        self._seen: Counter[bytes] = Counter()
        self._unclaimed: Counter[bytes] = Counter()
        self._registered: Counter[ClientId] = Counter()
        self._waiting: dict[Caller, _Wish] = {}
        # Of the clients' own subscriptions, those that are certain to be of who takes batches; of
        # these, those of observers, who have the empty prefix as well; and those that are about
        # to end, since their clients have unregistered.
        self._willing: Counter[bytes] = Counter()
        self._observing: Counter[bytes] = Counter()
        self._leaving: Counter[bytes] = Counter()
        self.all_take_batches = False
        """Whether somebody is subscribed, and nobody who has not registered for batches."""

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

    def register(
        self, client_id: ClientId, scope: ProgressScope, caller: Caller, *, batches: bool = False
    ) -> bool:
        """Register a client whose subscription was seen; else let the caller wait for it.

        Args:
            client_id: who.
            scope: whose events it wants to hear of.
            caller: who asks.
            batches: whether it takes several events in one message.
        """
        wish = _Wish(client_id, scope, batches)
        if self._claim(wish):
            return True
        self._waiting[caller] = wish
        return False

    def unregister(self, client_id: ClientId) -> None:
        """Forget a client, registered or not; its subscriptions are its own to end."""
        if client_id in self._registered:
            _take_one(self._registered, client_id)
            self._leaving[make_topic_prefix(client_id)] += 1
            self._look_again()

    def give_up(self, caller: Caller) -> bool | None:
        """End a wait, and return whether the caller is registered all the same.

        It is when its id is registered: then it asked twice, and the first time claimed the
        subscription. None: the caller waits no more.
        """
        waited = self._waiting.pop(caller, None)
        if waited is None:
            return None
        return waited.client_id in self._registered and self._is_subscribed(waited)

    def saw(self, frame: bytes) -> list[tuple[Caller, ClientId]]:
        """Take one frame of the XPUB socket; return the callers whose wait it ends."""
        if not frame or frame[0] not in (_SUBSCRIBE, _UNSUBSCRIBE):
            return []
        prefix = frame[1:]
        if frame[0] == _SUBSCRIBE:
            self._seen[prefix] += 1
            self._unclaimed[prefix] += 1
            self._look_again()
            return self._settle()
        if prefix in self._seen:
            # Whose it was is not told: perhaps of one who takes batches.
            for counts in (self._seen, self._willing, self._observing, self._leaving):
                _take_one(counts, prefix)
            self._forget_beyond(prefix, self._seen[prefix])
            self._look_again()
        return []

    def _settle(self) -> list[tuple[Caller, ClientId]]:
        settled = []
        for caller, wish in list(self._waiting.items()):
            if self._claim(wish):
                del self._waiting[caller]
                settled.append((caller, wish.client_id))
        return settled

    def _claim(self, wish: _Wish) -> bool:
        prefix = make_topic_prefix(wish.client_id)
        if not self._unclaimed[prefix] or not self._is_subscribed(wish):
            return False
        # Of two subscriptions that nobody has claimed yet, either may be this client's.
        if wish.batches and self._unclaimed[prefix] == 1:
            self._willing[prefix] += 1
            self._observing[prefix] += wish.scope is ProgressScope.ALL
        _take_one(self._unclaimed, prefix)
        self._registered[wish.client_id] += 1
        self._look_again()
        return True

    def _is_subscribed(self, wish: _Wish) -> bool:
        return all(prefix in self._seen for prefix in wish.prefixes)

    def _look_again(self) -> None:
        willing = self._willing | {b"": self._observing.total()}
        self.all_take_batches = (
            bool(self._seen) and not self._leaving and self._seen <= Counter(willing)
        )

    def _forget_beyond(self, prefix: bytes, most: int) -> None:
        """Keep no more claims and registrations than there are subscriptions."""
        for counts in (self._unclaimed, self._willing, self._observing, self._leaving):
            while counts[prefix] > most:
                _take_one(counts, prefix)
        for client_id in [c for c in self._registered if make_topic_prefix(c) == prefix]:
            while self._registered[client_id] > most:
                _take_one(self._registered, client_id)


def _take_one(counts: Counter[_K], key: _K) -> None:
    counts[key] -= 1
    if counts[key] <= 0:
        del counts[key]
