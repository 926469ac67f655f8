"""How a wait for replies on one connection ends without a reply, and how fast to reconnect."""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Final

__all__ = ["BROKEN", "DROPS", "SILENCES", "STILL_THERE", "Outcome", "ReconnectInterval"]


class ReconnectInterval(IntEnum):
    """How long libzmq waits before it reconnects, in milliseconds (ZMQ_RECONNECT_IVL)."""

    # libzmq's own value for never, -1, also discards a last reply that was not read yet.
    NEVER = 2**31 - 1
    QUICK = 5
    """While no server listens: it may be starting."""
    SLOW = 50
    """While a server is too busy to accept; doubled by each failure, up to 500."""


class Outcome(Enum):
    """Why a connection has no reply; the value follows a colon in error messages."""

    SILENCE = "no reply in time"
    # A server completes the handshake in its loop, so that a busy one looks like another program.
    UNGREETED = "no ZeroMQ handshake in time: the server is busy, or another program listens there"
    REFUSED = "connection refused: no server listens there"
    BUSY = (
        "the server's queue of new connections is full, because it is busy or paused: try again, "
        "or allow more time"
    )
    LOST = "the connection was closed"
    DROPPED = "the peer closed the connection before the ZeroMQ handshake"
    FOREIGN = "the peer does not speak ZMTP"


SILENCES: Final = frozenset({Outcome.SILENCE, Outcome.UNGREETED})
"""The outcomes that leave the connection open."""

STILL_THERE: Final = SILENCES | {Outcome.BUSY}
"""The outcomes after which the server may still reply."""

DROPS: Final = frozenset({Outcome.LOST, Outcome.DROPPED})
"""The outcomes that close an established connection; only so many in a row are retried."""

BROKEN: Final = DROPS | {Outcome.REFUSED, Outcome.BUSY}
"""The outcomes without a connection, after which the server's process may have ended."""
