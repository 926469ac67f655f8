"""Counts the subscriptions of each connection, and finds the connection with too many.

An XPUB socket reports subscriptions as they are sent: also equal ones of one connection, as a
proxy sends them for its clients, and unsubscriptions without a check that there was one. All equal
ones of one connection end together (ZMQ_XPUB_VERBOSER). The ledger counts in the same way. It
identifies a connection by the metadata of its messages: the descriptor (ZMQ_SRCFD), and the number
that the ZAP handler assigned as ``User-Id``. At the end of a connection libzmq reports the end of
each of its subscriptions without metadata.

libzmq keeps every subscription, in 1 to 6 KB each, and cannot refuse one (ZMQ_XPUB_MANUAL keeps
them too, and confuses connections once one of them sends a frame that is no subscription). So a
connection is ended to keep the bound.
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
"""The bound of subscriptions of all connections; equal ones of one connection count once."""
MAX_PREFIX_BYTES = 2**18
"""The bound of the bytes of all prefixes.

libzmq keeps a node of about 40 bytes for each byte of a prefix, and visits all nodes, in the thread
of the server's loop, when a connection ends (generic_mtrie_t::rm).
"""

_SUBSCRIBE = 1
_UNSUBSCRIBE = 0


class Origin(NamedTuple):
    """The connection that sent a message."""

    descriptor: int
    number: str
    """Unique while the server runs; a descriptor is not."""


class Excess(NamedTuple):
    """A connection that is to be ended, and the reason for the log."""

    descriptor: int
    reason: str


class Entry(NamedTuple):
    """The effect of one frame of the XPUB socket."""

    change: int
    """How many subscriptions to its prefix begin; negative: how many end."""
    excess: Excess | None = None


_NO_CHANGE = Entry(0)
_ONE_BEGINS = Entry(1)


class _Connection:
    """The subscriptions of one connection; ``ending`` once it had too many."""

    __slots__ = ("ending", "length", "number", "prefixes")

    def __init__(self, number: str) -> None:
        self.number = number
        self.prefixes: Counter[bytes] = Counter()
        self.length = 0
        self.ending = False


class SubscriptionLedger:
    """Counts the subscriptions of each connection, and returns the one that has too many.

    An ended connection is removed when its descriptor has a new owner, or when the last
    subscription to the same prefix ends, whichever is first: so the size of the ledger is
    proportional to the current subscriptions.

    Args:
        max_subscriptions: the bound of subscriptions of all connections together.
        max_bytes: the bound of the bytes of their prefixes together.
    """

    def __init__(
        self, max_subscriptions: int = MAX_SUBSCRIPTIONS, max_bytes: int = MAX_PREFIX_BYTES
    ) -> None:
        self._max_subscriptions = max_subscriptions
        self._max_bytes = max_bytes
        self._total = 0
        self._length = 0
        self._connections: dict[int, _Connection] = {}
        self._reported: Counter[bytes] = Counter()
        """The sum of the changes that were returned for each prefix."""
        self._live: Counter[bytes] = Counter()
        """The number of connections that have each prefix."""
        self._holders: dict[bytes, set[int]] = {}
        """Their descriptors, and those of ended connections that are not removed yet."""

    @property
    def total(self) -> int:
        """The subscriptions of all connections but those that are being ended."""
        return self._total

    def apply(self, frame: bytes, origin: Origin | None) -> Entry:
        """Apply one frame of the XPUB socket; ``origin`` is None at the end of a connection."""
        if not frame or frame[0] not in (_SUBSCRIBE, _UNSUBSCRIBE):
            return _NO_CHANGE
        begins, prefix = frame[0] == _SUBSCRIBE, frame[1:]
        if origin is None:
            return self._end(prefix, 1) if not begins and prefix in self._live else _NO_CHANGE
        connection = self._find(origin)
        if begins:
            if connection is None:
                connection = self._connections[origin.descriptor] = _Connection(origin.number)
            return self._add(connection, origin.descriptor, prefix)
        if connection is None or prefix not in connection.prefixes:
            return _NO_CHANGE
        return self._end(prefix, self._drop(origin.descriptor, prefix))

    def _find(self, origin: Origin) -> _Connection | None:
        """Return a known connection; remove an ended one that had its descriptor before."""
        found = self._connections.get(origin.descriptor)
        if found is None or found.number == origin.number:
            return found
        for prefix in tuple(found.prefixes):  # An ended connection.
            self._drop(origin.descriptor, prefix)
        return None

    def _add(self, connection: _Connection, descriptor: int, prefix: bytes) -> Entry:
        self._reported[prefix] += 1
        connection.prefixes[prefix] += 1
        if connection.prefixes[prefix] > 1:
            return _ONE_BEGINS
        self._holders.setdefault(prefix, set()).add(descriptor)
        self._live[prefix] += 1
        if connection.ending:
            return _ONE_BEGINS
        self._total += 1
        self._length += len(prefix)
        connection.length += len(prefix)
        if self._total > self._max_subscriptions:
            excess = self._find_excess(lambda one: len(one.prefixes))
            held, bound = "subscriptions", self._max_subscriptions
        elif self._length > self._max_bytes:
            excess = self._find_excess(lambda one: one.length)
            held, bound = "bytes of prefixes", self._max_bytes
        else:
            return _ONE_BEGINS
        descriptor, size = excess
        reason = f"{size} {held}, the most of all connections: {bound} at most for all together"
        return Entry(1, Excess(descriptor, reason))

    def _find_excess(self, measure: Callable[[_Connection], int]) -> tuple[int, int]:
        """Return the connection with the largest measure, now ``ending``, and that measure."""
        staying = {fd: one for fd, one in self._connections.items() if not one.ending}
        # Of equals the newest: later connections, however many, cannot evict an older one that has
        # no more than they.
        descriptor = max(reversed(staying), key=lambda fd: measure(staying[fd]))
        connection = staying[descriptor]
        connection.ending = True
        self._total -= len(connection.prefixes)
        self._length -= connection.length
        return descriptor, measure(connection)

    def _end(self, prefix: bytes, times: int) -> Entry:
        """Apply the end of one connection's subscriptions to ``prefix``; at the last, of all."""
        self._live[prefix] -= 1
        if not self._live[prefix]:
            del self._live[prefix]
            times = self._reported[prefix]
            for descriptor in tuple(self._holders.get(prefix, ())):
                self._drop(descriptor, prefix)
        self._reported[prefix] -= times
        if not self._reported[prefix]:
            del self._reported[prefix]
        return Entry(-times)

    def _drop(self, descriptor: int, prefix: bytes) -> int:
        """Remove a prefix from a connection, and a connection without any; return its count."""
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
