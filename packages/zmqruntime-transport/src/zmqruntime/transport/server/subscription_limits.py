"""Which connection has which subscription, and which connection has too many.

An XPUB socket reports subscriptions as they are sent: equal ones of one connection each, as a
proxy sends them for its clients, and their end without a check that they were there; but all
equal ones of one connection end together (ZMQ_XPUB_VERBOSER). The ledger counts the same way. It
knows a connection by the metadata of its messages: its descriptor (ZMQ_SRCFD), and the number
that the ZAP handler gave it as its ``User-Id``. When a connection ends, libzmq reports the end of
each of its subscriptions, with neither.

libzmq keeps every subscription that it receives, 1 to 6 KB each, and has no option to refuse one
(ZMQ_XPUB_MANUAL keeps them too, and confuses connections as soon as one of them sends a frame that
is not a subscription). So the bound is held by ending a connection.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

__all__ = [
    "MAX_PREFIX_BYTES",
    "MAX_SUBSCRIPTIONS",
    "Entry",
    "Excess",
    "Origin",
    "SubscriptionLedger",
]

MAX_SUBSCRIPTIONS = 10_000
"""Subscriptions of all connections together; equal ones of one connection are one."""
MAX_PREFIX_BYTES = 2**20
"""The length of their prefixes together: libzmq needs about 40 bytes for each of these."""

_SUBSCRIBE = 1
_UNSUBSCRIBE = 0


class Origin(NamedTuple):
    """The connection that sent a message."""

    descriptor: int
    number: str
    """Unique for good, as descriptors are not."""


class Excess(NamedTuple):
    """A connection that is to be ended, and why."""

    descriptor: int
    reason: str


class Entry(NamedTuple):
    """What one frame of the XPUB socket means."""

    change: int
    """How many subscriptions to its prefix have come; negative: how many have gone."""
    excess: Excess | None = None


_NOTHING = Entry(0)
_ONE_MORE = Entry(1)


class _Connection:
    """The subscriptions of one connection; ``ending`` once it was found to have too many."""

    __slots__ = ("ending", "length", "number", "prefixes")

    def __init__(self, number: str) -> None:
        self.number = number
        self.prefixes: Counter[bytes] = Counter()
        self.length = 0
        self.ending = False


class SubscriptionLedger:
    """Counts the subscriptions of each connection, and names the one that has too many.

    A connection that has ended is forgotten when its descriptor has a new owner, or when the last
    subscription to the same prefix ends, whichever comes first: the ledger stays in proportion to
    the subscriptions that there are.

    Args:
        most: subscriptions of all connections together.
        most_bytes: the length of their prefixes together.
    """

    def __init__(self, most: int = MAX_SUBSCRIPTIONS, most_bytes: int = MAX_PREFIX_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._total = 0
        self._length = 0
        self._connections: dict[int, _Connection] = {}
        self._counted: Counter[bytes] = Counter()
        """The sum of the changes for each prefix."""
        self._live: Counter[bytes] = Counter()
        """The connections that have each prefix."""
        self._holders: dict[bytes, set[int]] = {}
        """Their descriptors, and those of connections whose end is not known to be theirs."""

    @property
    def total(self) -> int:
        """The subscriptions of all connections that are not about to be ended."""
        return self._total

    def take(self, frame: bytes, origin: Origin | None) -> Entry:
        """Take one frame of the XPUB socket; ``origin`` is None for the end of a connection."""
        if not frame or frame[0] not in (_SUBSCRIBE, _UNSUBSCRIBE):
            return _NOTHING
        comes, prefix = frame[0] == _SUBSCRIBE, frame[1:]
        if origin is None:
            return self._end(prefix, 1) if not comes and prefix in self._live else _NOTHING
        connection = self._find(origin)
        if comes:
            if connection is None:
                connection = self._connections[origin.descriptor] = _Connection(origin.number)
            return self._add(connection, origin.descriptor, prefix)
        if connection is None or prefix not in connection.prefixes:
            return _NOTHING
        return self._end(prefix, self._drop(origin.descriptor, prefix))

    def _find(self, origin: Origin) -> _Connection | None:
        """Return what is known of a connection, and forget one that had its descriptor before."""
        found = self._connections.get(origin.descriptor)
        if found is None or found.number == origin.number:
            return found
        for prefix in tuple(found.prefixes):  # It has ended.
            self._drop(origin.descriptor, prefix)
        return None

    def _add(self, connection: _Connection, descriptor: int, prefix: bytes) -> Entry:
        self._counted[prefix] += 1
        connection.prefixes[prefix] += 1
        if connection.prefixes[prefix] > 1:
            return _ONE_MORE
        self._holders.setdefault(prefix, set()).add(descriptor)
        self._live[prefix] += 1
        if connection.ending:
            return _ONE_MORE
        self._total += 1
        self._length += len(prefix)
        connection.length += len(prefix)
        if self._total > self._most:
            excess = self._find_excess(lambda one: len(one.prefixes))
            held, bound = "subscriptions", self._most
        elif self._length > self._most_bytes:
            excess = self._find_excess(lambda one: one.length)
            held, bound = "bytes of prefixes", self._most_bytes
        else:
            return _ONE_MORE
        descriptor, size = excess
        reason = f"{size} {held}, the most of all connections: {bound} at most for all together"
        return Entry(1, Excess(descriptor, reason))

    def _find_excess(self, measure: Callable[[_Connection], int]) -> tuple[int, int]:
        """Choose the connection with the most of something to be ended; return how much it has."""
        staying = {fd: one for fd, one in self._connections.items() if not one.ending}
        # Of equals the newest: connections that come later, however many, end no older one that
        # has no more than they.
        descriptor = max(reversed(staying), key=lambda fd: measure(staying[fd]))
        connection = staying[descriptor]
        connection.ending = True
        self._total -= len(connection.prefixes)
        self._length -= connection.length
        return descriptor, measure(connection)

    def _end(self, prefix: bytes, times: int) -> Entry:
        """Count the end of one connection's subscriptions to ``prefix``, if known, all of them."""
        self._live[prefix] -= 1
        if not self._live[prefix]:
            del self._live[prefix]
            times = self._counted[prefix]
            for descriptor in tuple(self._holders.get(prefix, ())):
                self._drop(descriptor, prefix)
        self._counted[prefix] -= times
        if not self._counted[prefix]:
            del self._counted[prefix]
        return Entry(-times)

    def _drop(self, descriptor: int, prefix: bytes) -> int:
        """Take a prefix from a connection, forget one without any; return its subscriptions."""
        connection = self._connections[descriptor]
        times = connection.prefixes.pop(prefix)
        if not connection.ending:
            self._total -= 1
            self._length -= len(prefix)
            connection.length -= len(prefix)
        if not connection.prefixes:
            del self._connections[descriptor]
        holders = self._holders[prefix]
        holders.remove(descriptor)
        if not holders:
            del self._holders[prefix]
        return times
