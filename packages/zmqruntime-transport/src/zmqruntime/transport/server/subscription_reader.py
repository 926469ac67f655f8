"""Reads subscriptions from the XPUB socket: counts them, and completes registrations by them."""

from __future__ import annotations

import zmq

from zmqruntime.transport.limited_log import LimitedLog
from zmqruntime.transport.loop import Loop
from zmqruntime.transport.server.binding import BoundSockets
from zmqruntime.transport.server.handshake import RegistrationHandshake
from zmqruntime.transport.server.subscription_limits import Excess, Origin, SubscriptionLedger

__all__ = ["SubscriptionReader"]

# Subscriptions that are read in one round of the loop: about a millisecond.
_MAX_SUBSCRIPTIONS_AT_ONCE = 64


class SubscriptionReader:
    """Passes subscriptions on to the handshake, and ends connections that have too many.

    Args:
        loop: the loop whose thread this runs in.
        sockets: the server's.
        handshake: applies each subscription that the ledger counts.
        log: takes a line for each connection that is ended.
    """

    def __init__(
        self,
        loop: Loop,
        sockets: BoundSockets,
        handshake: RegistrationHandshake,
        log: LimitedLog,
    ) -> None:
        self._loop = loop
        self._sockets = sockets
        self._handshake = handshake
        self._log = log
        self._ledger = SubscriptionLedger()

    def read(self) -> bool:
        """Read a bounded number of subscriptions; False: the next round reads more."""
        data = self._sockets.data
        for _ in range(_MAX_SUBSCRIPTIONS_AT_ONCE):
            try:
                message = data.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return True
            frame = message.bytes
            entry = self._ledger.apply(frame, _read_origin(message))
            if entry.excess is not None:
                self._end_connection(entry.excess)
            if entry.change:
                self._handshake.apply(frame, abs(entry.change))
        self._loop.poll_again(data)
        return False

    def _end_connection(self, excess: Excess) -> None:
        if self._sockets.end_data_connection(excess.descriptor):
            self._log.warning("subscriptions", "data connection ended: it had %s", excess.reason)


def _read_origin(message: zmq.Frame) -> Origin | None:
    """Return the connection that sent a message; None: libzmq reports the end of a connection."""
    try:
        return Origin(int(message.get(zmq.SRCFD)), str(message.get("User-Id")))
    except zmq.ZMQError:
        return None
