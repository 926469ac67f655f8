"""The socket of a server's ZAP handler: in the server's own loop, with no thread of its own."""

from __future__ import annotations

import zmq

from zmqruntime.transport.loop import Loop
from zmqruntime.transport.multipart import drain
from zmqruntime.transport.server.zap import ZAP_ADDRESS, Authorize, compose_reply

__all__ = ["ZapHandler"]

# Connections that are admitted in one round of the loop; the others are next round's.
_MAX_AT_ONCE = 32


class ZapHandler:
    """Replies to the ZAP requests of one context, from the time when ``loop`` runs.

    A connection that arrives earlier waits in its handshake (30 s, ZMQ_HANDSHAKE_IVL). To be
    opened before the sockets bind whose connections it admits: libzmq refuses a connection for
    which no handler is there.

    Args:
        context: the context of these sockets, which has no other handler; closes the socket.
        loop: calls back for each request.
        authorize: decides on each request.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], loop: Loop, authorize: Authorize
    ) -> None:
        self._loop = loop
        self._authorize = authorize
        # Not a REP: that takes a second request only after it has replied to the first one.
        self._socket = context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.bind(ZAP_ADDRESS)
        loop.add_reader(self._socket, self._read)

    def _read(self) -> None:
        for request in drain(self._socket, _MAX_AT_ONCE):
            if (frames := compose_reply(request, self._authorize)) is not None:
                self._loop.send(self._socket, *frames)
