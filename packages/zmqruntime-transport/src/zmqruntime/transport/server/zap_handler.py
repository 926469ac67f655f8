"""The socket of a ZAP handler, served by the server's loop instead of a thread."""

from __future__ import annotations

import zmq

from zmqruntime.transport.loop import Loop
from zmqruntime.transport.multipart import drain
from zmqruntime.transport.server.zap import ZAP_ADDRESS, Authorize, compose_reply

__all__ = ["ZapHandler"]

# Connections that are authorized in one round of the loop.
_MAX_AT_ONCE = 32


class ZapHandler:
    """Replies to the ZAP requests of one context while ``loop`` runs.

    A connection that arrives earlier waits in its handshake (30 s, ZMQ_HANDSHAKE_IVL). Construct it
    before the sockets of the context bind: without a handler libzmq refuses connections.

    Args:
        context: a context without another handler; closes the socket at its end.
        loop: calls back for requests.
        authorize: decides on each request.
    """

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], loop: Loop, authorize: Authorize
    ) -> None:
        self._loop = loop
        self._authorize = authorize
        # Not a REP: it would receive a second request only after the reply to the first.
        self._socket = context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.bind(ZAP_ADDRESS)
        loop.add_reader(self._socket, self._read)

    def _read(self) -> None:
        for request in drain(self._socket, _MAX_AT_ONCE):
            if (frames := compose_reply(request, self._authorize)) is not None:
                self._loop.send(self._socket, *frames)
