"""Who listens to the data channel: subscriptions as the publisher sees them arrive and go.

A registration is acknowledged only when the client's subscription has been seen, so that no
event after it can be lost to a slow joiner (the XPUB socket reports each; zguide, ch. 5).
"""

from __future__ import annotations

from zmqruntime.messages import ClientId, ProgressScope, make_topic_prefix
from zmqruntime.transport.envelope import Caller

__all__ = ["Registrations"]

_SUBSCRIBE = 1
_UNSUBSCRIBE = 0


class Registrations:
    """The subscriptions seen, the clients registered, and the callers who wait to be."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._registered: dict[ClientId, None] = {}
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
        if self._subscribed(client_id, scope):
            self._registered[client_id] = None
            return True
        self._waiting[caller] = (client_id, scope)
        return False

    def unregister(self, client_id: ClientId) -> None:
        """Forget a client, registered or not; its subscriptions are its own to end."""
        self._registered.pop(client_id, None)

    def give_up(self, caller: Caller) -> ClientId | None:
        """Return whom ``caller`` still waits to register, and let it wait no longer."""
        waited = self._waiting.pop(caller, None)
        return waited[0] if waited else None

    def saw(self, frame: bytes) -> list[tuple[Caller, ClientId]]:
        """Take one frame of the XPUB socket; return the callers whose wait it ends.

        The socket tells of the first of several equal subscriptions, and of the end of the last.
        """
        if not frame or frame[0] not in (_SUBSCRIBE, _UNSUBSCRIBE):
            return []
        prefix = frame[1:]
        if frame[0] == _SUBSCRIBE:
            self._seen.add(prefix)
            return self._settle()
        self._seen.discard(prefix)
        for client_id in [c for c in self._registered if make_topic_prefix(c) == prefix]:
            del self._registered[client_id]
        return []

    def _settle(self) -> list[tuple[Caller, ClientId]]:
        settled = []
        for caller, (client_id, scope) in list(self._waiting.items()):
            if self._subscribed(client_id, scope):
                del self._waiting[caller]
                self._registered[client_id] = None
                settled.append((caller, client_id))
        return settled

    def _subscribed(self, client_id: ClientId, scope: ProgressScope) -> bool:
        if scope is ProgressScope.ALL and b"" not in self._seen:
            return False
        return make_topic_prefix(client_id) in self._seen
