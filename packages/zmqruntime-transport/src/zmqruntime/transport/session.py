"""One run of a server: its bound sockets, its loop, and the protocol every server speaks.

A session lives in one thread. `ServerSession` answers ping, registration and shutdown;
a package above derives from it to answer more.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import zmq

from zmqruntime.messages import (
    DecodeError,
    ErrorCode,
    ErrorReply,
    JsonObject,
    MessageError,
    OkReply,
    PingRequest,
    PongReply,
    ProcessInfo,
    RegisterProgressRequest,
    Reply,
    Request,
    ShutdownAckReply,
    ShutdownMode,
    ShutdownRequest,
    UnregisterProgressRequest,
    decode_request,
    encode,
    make_error_reply,
)
from zmqruntime.transport.binding import BoundSockets
from zmqruntime.transport.config import ZMQConfig
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.envelope import Caller, split_envelope
from zmqruntime.transport.loop import Loop, Timer
from zmqruntime.transport.process import ProcessIdentity
from zmqruntime.transport.registration import Registrations

__all__ = ["ServerSession"]

_log = logging.getLogger("zmqruntime.server")

# Requests taken at one go before other sockets get their turn.
_BATCH = 64


class ServerSession:
    """The sockets, the loop and the answers of a server from `open` to its end."""

    def __init__(
        self,
        name: str,
        version: str,
        endpoint: Endpoint,
        config: ZMQConfig,
        *,
        log_file_path: str | None = None,
        describe: Callable[[], JsonObject] = dict,
    ) -> None:
        self.endpoint = endpoint
        self.config = config
        self.loop = Loop()
        self.registrations = Registrations()
        self.finished = threading.Event()
        self.failure: BaseException | None = None
        self.stopping = False
        self._name = name
        self._version = version
        self._log_file_path = log_file_path
        self._describe = describe
        self._process = ProcessIdentity.current()
        self._started_at = time.time()
        self._requests = 0
        self._held_pings: dict[Caller, tuple[PingRequest, Timer]] = {}
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: BoundSockets | None = None

    # -- life ---------------------------------------------------------------------------

    def open(self) -> None:
        """Bind the sockets, in the caller's thread, so that the caller gets the error."""
        try:
            sockets = BoundSockets(self._context, self.endpoint, self.config)
        except BaseException:
            self._context.term()
            self.loop.close()
            raise
        self._sockets = sockets
        self.loop.add_reader(sockets.control, self._read_control)
        self.loop.add_reader(sockets.data, self._read_subscriptions)

    def run(self) -> None:
        """Serve until the session ends. Whatever ends it, everything is given back."""
        try:
            self.on_start()
            self.loop.run()
        except BaseException as error:  # noqa: BLE001 - told by whoever waits for the end
            _log.critical("the server on %s failed", self.endpoint, exc_info=True)
            self.failure = error
        finally:
            self._close()
            self.finished.set()

    def shut_down(self, mode: ShutdownMode) -> None:
        """Begin to end, in the loop's thread. Called again, it may only get more urgent."""
        self.stopping = True
        self.loop.stop()

    def abort(self) -> None:
        """End at once, whatever is still running, in the loop's thread."""
        self.loop.stop()

    def on_start(self) -> None:
        """Open what a derived session needs, in the loop's thread."""

    def on_close(self) -> None:
        """Close what `on_start` opened; always called."""

    def _close(self) -> None:
        try:
            self.on_close()
        finally:
            if self._sockets is not None:
                self._sockets.close()
            self.loop.close()
            self._context.term()

    # -- what a derived session says ------------------------------------------------------

    @property
    def context(self) -> zmq.Context[zmq.Socket[bytes]]:
        """The session's ZeroMQ context."""
        return self._context

    @property
    def ready(self) -> bool:
        """Whether the server can do what it is for."""
        return not self.stopping

    def describe_work(self, limit: int) -> dict[str, Any]:
        """Return the pong's fields on executions and workers."""
        return {}

    def handle_request(self, request: Request, caller: Caller) -> None:
        """Answer a request, now or later; exactly one `reply` is owed."""
        match request:
            case PingRequest():
                self._ping(request, caller)
            case RegisterProgressRequest():
                self._register(request, caller)
            case UnregisterProgressRequest():
                self.registrations.unregister(request.client_id)
                self._acknowledge(caller, request.client_id)
            case ShutdownRequest():
                self.reply(caller, ShutdownAckReply(mode=request.mode))
                _log.info("shutdown (%s) was requested", request.mode)
                self.shut_down(request.mode)
            case _:
                self.refuse(
                    caller,
                    ErrorCode.UNKNOWN_TYPE,
                    f"this server ({self._name}) takes no {request.type} requests",
                )

    # -- what it sends ----------------------------------------------------------------------

    def reply(self, caller: Caller, message: Reply) -> None:
        """Send the one reply that ``caller`` is owed."""
        if caller.request_id is not None:
            message = message.model_copy(update={"request_id": caller.request_id})
        self._send_reply(caller, encode(message))

    def refuse(self, caller: Caller, code: ErrorCode, message: str) -> None:
        """Reply with an error."""
        self.reply(caller, ErrorReply(code=code, message=message))

    def publish(self, topic: bytes, frame: bytes) -> None:
        """Send an event to whoever subscribed to its topic; never blocks (RFC 29)."""
        assert self._sockets is not None
        self._sockets.data.send_multipart((topic, frame), zmq.NOBLOCK)

    def became_ready(self) -> None:
        """Answer the pings that waited for it."""
        held, self._held_pings = self._held_pings, {}
        for caller, (request, timer) in held.items():
            timer.cancel()
            self._pong(request, caller)

    def _send_reply(self, caller: Caller, frame: bytes) -> None:
        assert self._sockets is not None
        try:
            self._sockets.control.send_multipart((*caller.envelope, frame), zmq.NOBLOCK)
        except zmq.Again:
            _log.warning("a reply was dropped: its client takes none")

    # -- what it receives ---------------------------------------------------------------------

    def _read_control(self) -> None:
        assert self._sockets is not None
        control = self._sockets.control
        for _ in range(_BATCH):
            try:
                frames = control.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._take_request(frames)
            if self.loop.stopping:
                return

    def _take_request(self, frames: list[bytes]) -> None:
        envelope, body = split_envelope(frames)
        caller = Caller(envelope)
        self._requests += 1
        try:
            if isinstance(body, DecodeError):
                raise body
            request = decode_request(body)
            caller = Caller(envelope, request.request_id, self._requests)
            self.handle_request(request, caller)
        except MessageError as error:
            self._send_reply(caller, encode(make_error_reply(error)))
        except Exception as error:  # noqa: BLE001 - one request must not end the server
            _log.exception("a request could not be answered")
            self.refuse(
                caller,
                ErrorCode.INTERNAL,
                f"the server failed to answer this request ({type(error).__name__}: {error}); "
                "its log has more",
            )

    def _read_subscriptions(self) -> None:
        assert self._sockets is not None
        data = self._sockets.data
        while True:
            try:
                frame = data.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            for caller, client_id in self.registrations.saw(frame):
                self._acknowledge(caller, client_id)

    # -- ping and registration ------------------------------------------------------------------

    def _ping(self, request: PingRequest, caller: Caller) -> None:
        if self.ready or not request.wait_seconds:
            self._pong(request, caller)
            return

        def stop_waiting() -> None:
            del self._held_pings[caller]
            self._pong(request, caller)

        timer = self.loop.call_at(time.monotonic() + request.wait_seconds, stop_waiting)
        self._held_pings[caller] = (request, timer)

    def _pong(self, request: PingRequest, caller: Caller) -> None:
        self.reply(
            caller,
            PongReply(
                ready=self.ready,
                server=self._name,
                version=self._version,
                port=self.endpoint.port,
                control_port=self.endpoint.control_port,
                process=ProcessInfo(pid=self._process.pid, create_time=self._process.create_time),
                started_at=self._started_at,
                uptime_seconds=max(0.0, time.time() - self._started_at),
                progress_subscribers=self.registrations.clients,
                max_message_bytes=self.config.max_message_bytes,
                log_file_path=self._log_file_path,
                details=self._describe(),
                **self.describe_work(request.limit),
            ),
        )

    def _register(self, request: RegisterProgressRequest, caller: Caller) -> None:
        # The subscription may lie unread on the other socket: look before making anyone wait.
        self._read_subscriptions()
        if self.registrations.register(request.client_id, request.scope, caller):
            self._acknowledge(caller, request.client_id)
            return
        timeout = self.config.registration_timeout

        def give_up() -> None:
            if client_id := self.registrations.give_up(caller):
                self.refuse(
                    caller,
                    ErrorCode.NOT_SUBSCRIBED,
                    f"no subscription to '{client_id}/' was seen within {timeout:g} s: connect a "
                    f"SUB socket to the data port {self.endpoint.port} and subscribe first",
                )

        self.loop.call_at(time.monotonic() + timeout, give_up)

    def _acknowledge(self, caller: Caller, client_id: str) -> None:
        self.reply(
            caller,
            OkReply(client_id=client_id, progress_subscribers=self.registrations.clients),
        )
