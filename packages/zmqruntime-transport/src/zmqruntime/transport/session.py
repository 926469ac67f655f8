"""One run of a server: its bound sockets, its loop, and the protocol every server speaks.

A session lives in one thread. `ServerSession` answers ping, registration and shutdown;
a package above derives from it to answer more.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import zmq

from zmqruntime.messages import (
    ApplicationInfo,
    DecodeError,
    ErrorCode,
    ErrorReply,
    JsonObject,
    MessageError,
    PingRequest,
    ProcessInfo,
    RegisterProgressRequest,
    Request,
    ShutdownAckReply,
    ShutdownMode,
    ShutdownRequest,
    UnregisterProgressRequest,
    decode_request,
    encode_with_id,
    make_error_reply,
)
from zmqruntime.transport.binding import BoundSockets
from zmqruntime.transport.config import ZMQConfig
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.envelope import Caller, split_envelope
from zmqruntime.transport.frames import drain
from zmqruntime.transport.handshake import RegistrationHandshake
from zmqruntime.transport.loop import Loop, Timer
from zmqruntime.transport.pongs import Pongs, WorkSummary
from zmqruntime.transport.process import ProcessIdentity

if TYPE_CHECKING:
    from zmqruntime.messages import Reply

__all__ = ["ServerSession"]

_log = logging.getLogger("zmqruntime.server")


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
        application: ApplicationInfo | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.config = config
        self.loop = Loop()
        self._handshake = RegistrationHandshake(
            self.loop, config.registration_timeout, endpoint.port, self.reply
        )
        self.registrations = self._handshake.registrations
        self.finished = threading.Event()
        self.failure: BaseException | None = None
        self.stopping = False
        self._name = name
        self._describe = describe
        process = ProcessIdentity.current()
        self._pongs = Pongs(
            server=name,
            version=version,
            port=endpoint.port,
            control_port=endpoint.control_port,
            process=ProcessInfo(pid=process.pid, create_time=process.create_time),
            max_message_bytes=config.max_message_bytes,
            log_file_path=log_file_path,
            application=application,
        )
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
            self._context.destroy(linger=0)
            self.loop.close()
            raise
        self._sockets = sockets
        self.loop.add_reader(sockets.control, self._read_control)
        self.loop.add_reader(sockets.data, self._read_subscriptions)

    def run(self) -> None:
        """Serve until the session ends. Whatever ends it, everything is given back."""
        try:
            try:
                self.on_start()
                self.loop.run()
            finally:
                self._close()
        except BaseException as error:  # noqa: BLE001 - told by whoever waits for the end
            _log.critical("the server on %s failed", self.endpoint, exc_info=True)
            self.failure = error
        finally:
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
        assert self._sockets is not None
        self.stopping = True
        with contextlib.ExitStack() as ends:  # Each of them, whatever happens to the others.
            ends.callback(self._context.destroy)
            ends.callback(self._sockets.close)
            ends.callback(self.loop.close)
            ends.callback(self._handshake.end)
            ends.callback(self.became_ready)
            ends.callback(self.on_close)

    # -- what a derived session says ------------------------------------------------------

    @property
    def context(self) -> zmq.Context[zmq.Socket[bytes]]:
        """The session's ZeroMQ context."""
        return self._context

    @property
    def ready(self) -> bool:
        """Whether the server can do what it is for."""
        return not self.stopping

    def describe_work(self, limit: int) -> WorkSummary:
        """Return what a pong tells of executions, up to ``limit`` of each kind, and workers."""
        return WorkSummary()

    def handle_request(self, request: Request, caller: Caller, frame: bytes = b"") -> None:
        """Answer a request, now or later; exactly one `reply` is owed.

        Args:
            request: what is asked.
            caller: who asks.
            frame: what it was read from. Whoever changes the request leaves this out when he hands
                it on: others may use these bytes instead.
        """
        match request:
            case PingRequest():
                self._ping(request, caller)
            case RegisterProgressRequest():
                # The subscription may lie unread on the other socket: look before anyone waits.
                self._read_subscriptions()
                self._handshake.register(request, caller)
            case UnregisterProgressRequest():
                self._handshake.unregister(request, caller)
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
        self.send_reply(caller, encode_with_id(message, caller.request_id))

    def refuse(self, caller: Caller, code: ErrorCode, message: str) -> None:
        """Reply with an error."""
        self.reply(caller, ErrorReply(code=code, message=message))

    def publish(self, topic: bytes, *events: bytes) -> None:
        """Send events to whoever subscribed to their topic; never blocks (RFC 29).

        As one array where everybody takes arrays, else one by one.
        """
        assert self._sockets is not None
        data, rest = self._sockets.data, events
        if len(events) > 1 and self.registrations.all_take_arrays:
            # With this frame it is settled who gets the message, and who they are can be read.
            self.loop.send(data, topic, more=True)
            self._read_subscriptions()
            if self.registrations.all_take_arrays:
                self.loop.send(data, b"[%b]" % b",".join(events))
                return
            self.loop.send(data, events[0])
            rest = events[1:]
        for event in rest:
            self.loop.send(data, topic, event)

    def became_ready(self) -> None:
        """Answer the pings that waited for it; or for the end, if that comes first."""
        held, self._held_pings = self._held_pings, {}
        for caller, (request, timer) in held.items():
            timer.cancel()
            self._answer(caller, partial(self._pong, request, caller))

    def send_reply(self, caller: Caller, frame: bytes) -> None:
        """Send the one reply that ``caller`` is owed, encoded, with its ``request_id`` in it."""
        assert self._sockets is not None
        try:
            self.loop.send(self._sockets.control, *caller.envelope, frame)
        except zmq.Again:
            _log.warning("a reply was dropped: its client asks, and takes no replies")
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:  # Who asked is gone.
                raise

    # -- what it receives ---------------------------------------------------------------------

    def _read_control(self) -> None:
        assert self._sockets is not None
        for frames in drain(self._sockets.control, 1):  # A look for a second one takes time.
            self._take_request(frames)

    def _take_request(self, frames: list[bytes]) -> None:
        envelope, body = split_envelope(frames)
        self._requests += 1
        try:
            if isinstance(body, DecodeError):
                raise body
            request = decode_request(body)
        except MessageError as error:
            self.reply(Caller(envelope, error.request_id), make_error_reply(error))
            return
        caller = Caller(envelope, request.request_id, self._requests)
        self._answer(caller, partial(self.handle_request, request, caller, body))

    def _answer(self, caller: Caller, answer: Callable[[], None]) -> None:
        try:
            answer()
        except MessageError as error:
            self.reply(caller, make_error_reply(error))
        except Exception as error:  # noqa: BLE001 - one request must not end the server
            _log.exception("a request could not be answered")
            self.refuse(
                caller,
                ErrorCode.INTERNAL,
                f"the server failed to answer this request ({error!r}); its log has more",
            )

    def _read_subscriptions(self) -> None:
        assert self._sockets is not None
        data = self._sockets.data
        while True:
            try:
                frame = data.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._handshake.saw(frame)

    # -- ping ---------------------------------------------------------------------------------

    def _ping(self, request: PingRequest, caller: Caller) -> None:
        if not request.wait_seconds or self.ready:
            self._pong(request, caller)
            return

        def stop_waiting() -> None:
            del self._held_pings[caller]
            self._answer(caller, partial(self._pong, request, caller))

        timer = self.loop.call_at(time.monotonic() + request.wait_seconds, stop_waiting)
        self._held_pings[caller] = (request, timer)

    def _pong(self, request: PingRequest, caller: Caller) -> None:
        frame = self._pongs.compose(
            caller.request_id,
            ready=self.ready,
            details=self._describe(),
            progress_subscribers=self.registrations.clients,
            work=self.describe_work(request.limit),
        )
        self.send_reply(caller, frame)
