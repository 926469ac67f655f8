"""The ZeroMQ Authentication Protocol, without a socket (https://rfc.zeromq.org/spec/27/).

For each new connection libzmq sends a request to the handler at ``inproc://zeromq.zap.01`` in the
same context, and completes or refuses the ZMTP handshake by its reply. With a ZAP domain set,
libzmq refuses peers of ZMTP 1.0 and 2.0, whose handshake has no mechanism: an HTTP request counts
as ZMTP 1.0 otherwise, and its body as messages.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

__all__ = [
    "ZAP_ADDRESS",
    "ZAP_DOMAIN",
    "Authorize",
    "Decision",
    "NullAccess",
    "ZapRequest",
    "compose_reply",
]

ZAP_ADDRESS = "inproc://zeromq.zap.01"
ZAP_DOMAIN = b"zmqruntime"
"""The domain of both public sockets."""

_VERSION = b"1.0"
# Version, request id, domain, address, identity and mechanism; credentials follow.
_FIXED_FRAMES = 6


class ZapRequest(NamedTuple):
    """A connection before its handshake is complete, as libzmq describes it."""

    domain: bytes
    address: bytes
    """The peer's IP address; for ipc a platform-dependent text."""
    identity: bytes
    """The routing id that the peer has set, or empty."""
    mechanism: bytes
    """``NULL``, ``PLAIN``, ``CURVE`` or ``GSSAPI``."""
    credentials: tuple[bytes, ...] = ()
    """Empty for NULL; the public key, 32 bytes, for CURVE."""


class Decision(NamedTuple):
    """The handler's reply: status 200 accepts, 400 refuses, 500 is a failure of the handler."""

    status: int
    text: str
    user_id: str = ""
    """The ``User-Id`` of every message that is received from this connection."""


Authorize = Callable[[ZapRequest], Decision]


class NullAccess:
    """Accepts every peer of ``domain`` that uses the NULL mechanism.

    The user id is the number of the connection. It is unique while the server runs; a descriptor
    identifies another connection later.
    """

    def __init__(self, domain: bytes = ZAP_DOMAIN) -> None:
        self._domain = domain
        self._numbers = itertools.count(1)

    def authorize(self, request: ZapRequest) -> Decision:
        """Accept a connection, or refuse it with a reason."""
        if request.domain != self._domain:
            return Decision(400, f"unknown domain {request.domain!r}")
        if request.mechanism != b"NULL":
            return Decision(400, f"mechanism {request.mechanism!r} is not accepted here: use NULL")
        return Decision(200, "OK", str(next(self._numbers)))


def compose_reply(frames: Sequence[bytes], authorize: Authorize) -> list[bytes] | None:
    """Return the reply to one ZAP request, both with the envelope of a ROUTER socket.

    An invalid request is refused with status 500. None: it lacks the frames that a reply repeats.
    """
    try:
        end = list(frames).index(b"", 1) + 1
    except ValueError:
        return None
    envelope, body = list(frames[:end]), frames[end:]
    if len(body) < 2:
        return None
    version, request_id, *rest = body
    if version != _VERSION:
        decision = Decision(500, f"version {version[:16]!r} is not supported: use 1.0")
    elif len(body) < _FIXED_FRAMES:
        decision = Decision(500, f"the request has {len(body)} frames: {_FIXED_FRAMES} or more due")
    else:
        domain, address, identity, mechanism, *credentials = rest
        request = ZapRequest(domain, address, identity, mechanism, tuple(credentials))
        decision = authorize(request)
    status, text, user_id = decision
    last = [b"%d" % status, text.encode(), user_id.encode(), b""]
    return [*envelope, _VERSION, request_id, *last]
