"""The registration handshake: no client is told that it is registered before it is subscribed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from zmqruntime.messages import (
    ClientId,
    ErrorCode,
    ErrorReply,
    OkReply,
    RegisterProgressRequest,
    UnregisterProgressRequest,
)
from zmqruntime.transport.envelope import Caller
from zmqruntime.transport.loop import Loop
from zmqruntime.transport.registration import Registrations

if TYPE_CHECKING:
    from zmqruntime.messages import Reply

__all__ = ["RegistrationHandshake"]


class RegistrationHandshake:
    """Answers each registration when its subscription was seen, or when its time is up.

    Args:
        loop: whose timers say when.
        timeout: how long, in seconds, to wait for a subscription.
        data_port: the port to name to those who did not subscribe.
        reply: sends a caller its one reply.
    """

    def __init__(
        self,
        loop: Loop,
        timeout: float,
        data_port: int,
        reply: Callable[[Caller, Reply], None],
    ) -> None:
        self.registrations = Registrations()
        self._loop = loop
        self._timeout = timeout
        self._data_port = data_port
        self._reply = reply

    def register(self, request: RegisterProgressRequest, caller: Caller) -> None:
        """Acknowledge, now or as soon as the subscription is seen."""
        if self.registrations.register(request.client_id, request.scope, caller):
            self._acknowledge(caller, request.client_id)
            return

        def give_up() -> None:
            registered = self.registrations.give_up(caller)
            if registered:
                self._acknowledge(caller, request.client_id)
            elif registered is not None:
                self._refuse(
                    caller,
                    ErrorCode.NOT_SUBSCRIBED,
                    f"no new subscription to '{request.client_id}/' was seen within "
                    f"{self._timeout:g} s: connect a SUB socket to the data port "
                    f"{self._data_port} and subscribe first",
                )

        self._loop.call_at(time.monotonic() + self._timeout, give_up)

    def unregister(self, request: UnregisterProgressRequest, caller: Caller) -> None:
        """Forget the client and say so."""
        self.registrations.unregister(request.client_id)
        self._acknowledge(caller, request.client_id)

    def saw(self, frame: bytes) -> None:
        """Take a frame of the XPUB socket, and acknowledge whomever it registers."""
        for caller, client_id in self.registrations.saw(frame):
            self._acknowledge(caller, client_id)

    def end(self) -> None:
        """Refuse all who still wait: the server ends."""
        for caller in self.registrations.waiting:
            self.registrations.give_up(caller)
            self._refuse(caller, ErrorCode.SHUTTING_DOWN, "the server is shutting down")

    def _refuse(self, caller: Caller, code: ErrorCode, message: str) -> None:
        self._reply(caller, ErrorReply(code=code, message=message))

    def _acknowledge(self, caller: Caller, client_id: ClientId) -> None:
        clients = self.registrations.clients
        self._reply(caller, OkReply(client_id=client_id, progress_subscribers=clients))
