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
    MAX_REQUEST_BYTES,
    ApplicationInfo,
    DecodeError,
    ErrorCode,
    ErrorReply,
    Incoming,
    JsonObject,
    MessageError,
    PingRequest,
    ProcessInfo,
    RegisterProgressRequest,
    ShutdownAckReply,
    ShutdownMode,
    ShutdownRequest,
    UnregisterProgressRequest,
    decode_request,
    make_error_reply,
)
from zmqruntime.messages.lowlevel import encode_with_id
from zmqruntime.transport.config import TransportMode, ZMQConfig
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.envelope import Caller, split_envelope
from zmqruntime.transport.errors import EndpointError
from zmqruntime.transport.limited_log import LimitedLog
from zmqruntime.transport.loop import Loop
from zmqruntime.transport.multipart import drain
from zmqruntime.transport.process.identity import ProcessIdentity
from zmqruntime.transport.server.binding import BoundSockets
from zmqruntime.transport.server.connection_limiter import ConnectionLimiter
from zmqruntime.transport.server.handshake import MAX_LISTED, RegistrationHandshake
from zmqruntime.transport.server.held_pings import HeldPings
from zmqruntime.transport.server.pongs import Pongs, WorkSummary
from zmqruntime.transport.server.publisher import EventPublisher
from zmqruntime.transport.server.reply_sender import ReplySender
from zmqruntime.transport.server.subscription_limits import Excess, Origin, SubscriptionLedger
from zmqruntime.transport.server.zap import NullAccess
from zmqruntime.transport.server.zap_handler import ZapHandler

if TYPE_CHECKING:
    from zmqruntime.messages import Reply

__all__ = ["ServerSession"]

_log = logging.getLogger("zmqruntime.server")

# Subscriptions that are read in one round of the loop: about a millisecond.
_MAX_SUBSCRIPTIONS_AT_ONCE = 64
_LOOK_SECONDS = 1.0


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
        self._subscriptions = SubscriptionLedger()
        self.finished = threading.Event()
        self.settled = threading.Event()
        """Set when it can do what it is for, for the first time, or has finished."""
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
        self.looks = False
        """Whether the files of the sockets will be looked at."""
        self._held_pings = HeldPings(self.loop, self._answer_ping)
        self._limited_log = LimitedLog(_log)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: BoundSockets | None = None
        self._limiter = ConnectionLimiter(self._context, self.loop)
        self._sender: ReplySender
        self.publisher: EventPublisher

    # -- life ---------------------------------------------------------------------------

    def open(self) -> None:
        """Bind the sockets, in the caller's thread, so that the caller gets the error."""
        try:
            ZapHandler(self._context, self.loop, NullAccess().authorize)
            sockets = BoundSockets(self._context, self.endpoint, self.config)
        except BaseException:
            self._context.destroy(linger=0)
            self.loop.close()
            raise
        self._sockets = sockets
        most = self.config.max_unread_bytes
        self._sender = ReplySender(self.loop, sockets.control, most, self._limited_log)
        self.publisher = EventPublisher(self.loop, sockets.data, most, self._limited_log)
        endpoint = self.endpoint
        is_ipc = endpoint.transport_mode is TransportMode.IPC
        for sock, path, port in (
            (sockets.control, endpoint.control_path, endpoint.control_port),
            (sockets.data, endpoint.data_path, endpoint.port),
        ):
            self._limiter.watch(sock, str(path) if is_ipc else port)
        self.loop.add_reader(sockets.control, self._read_control)
        self.loop.add_reader(sockets.data, self._read_data)

    def run(self) -> None:
        """Serve until the session ends. Whatever ends it, everything is given back."""
        try:
            try:
                self.on_start()
                if self.ready:
                    self.settled.set()
                self.loop.run()
            finally:
                self._close()
        except BaseException as error:  # noqa: BLE001 - told by whoever waits for the end
            self.failure = error  # First: a handler of the application's own may raise.
            _log.critical("the server on %s failed", self.endpoint, exc_info=True)
        finally:
            self.finished.set()
            self.settled.set()

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
            ends.callback(self._limited_log.close)
            ends.callback(self._context.destroy)
            ends.callback(self._sockets.close)
            ends.callback(self._limiter.close)
            ends.callback(self.loop.close)
            ends.callback(self._handshake.end)
            ends.callback(self._held_pings.answer_now)
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

    def handle_request(self, request: Incoming, caller: Caller, frame: bytes = b"") -> None:
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
                # The subscription may lie unread on the other socket: then there is no wait.
                self._read_subscriptions()
                self._handshake.register(request, caller)
            case UnregisterProgressRequest():
                self._handshake.unregister(request, caller)
            case ShutdownRequest():
                self.reply(caller, ShutdownAckReply(mode=request.mode))
                self._limited_log.log(
                    logging.INFO, "shutdown requests", "shutdown (%s) was requested", request.mode
                )
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
        publisher, rest = self.publisher, events
        if len(events) > 1 and self.registrations.all_take_arrays:
            # With this frame it is settled who gets the message, and who they are can be read.
            publisher.begin(topic)
            if self._read_subscriptions() and self.registrations.all_take_arrays:
                publisher.send(b"[%b]" % b",".join(events))
                return
            publisher.send(events[0])
            rest = events[1:]
        for event in rest:
            publisher.send(topic, event)

    def became_ready(self) -> None:
        """Answer the pings that waited for it."""
        self._held_pings.answer()

    def send_reply(self, caller: Caller, frame: bytes) -> None:
        """Send the one reply that ``caller`` is owed, encoded, with its ``request_id`` in it."""
        self._sender.send(caller, frame)

    def send_composed_reply(self, caller: Caller, compose: Callable[[], bytes]) -> None:
        """Send the one reply that ``caller`` is owed, composed when there is room for it.

        For long ones: to a peer that does not read its replies, none is composed.
        """
        self._sender.send_composed(caller, compose)

    # -- what it receives ---------------------------------------------------------------------

    def look_later(self) -> None:
        """Look in a second whether the files of the sockets are still there.

        Called when something happens and `looks` is false, so that a server without work does not
        wake up. No system tells portably that a file was removed.
        """
        self.looks = True
        self.loop.call_at(time.monotonic() + _LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self.looks = False
        try:
            self.restore_files()
        except (EndpointError, OSError) as error:
            self._limited_log.log(
                logging.ERROR,
                "lost files",
                "%s cannot be reached by new clients: its files were removed, and cannot be made "
                "again: %s",
                self.endpoint,
                error,
            )

    def restore_files(self) -> None:
        """Make files anew that were removed, with their directory. May be extended.

        Raises:
            EndpointError: they cannot be made, or another server has taken the address.
            OSError: the same.
        """
        assert self._sockets is not None
        if self._sockets.restore():
            _log.warning(
                "the files of %s were removed, and are made again: keep %s from programs that "
                "remove what is old, or set runtime_dir",
                self.endpoint,
                self.endpoint.directory,
            )

    def _read_control(self) -> None:
        assert self._sockets is not None
        if not self.looks:
            self.look_later()
        for frames in drain(self._sockets.control, 1):  # A look for a second one takes time.
            size = len(frames[-1])
            if not self._sender.holds_back(frames[0], partial(self._take_request, frames), size):
                self._take_request(frames)

    def _take_request(self, frames: list[bytes]) -> None:
        envelope, body = split_envelope(frames)
        self._requests += 1
        try:
            if isinstance(body, DecodeError):
                raise body
            request: Incoming
            request = decode_request(body) if len(body) <= MAX_REQUEST_BYTES else _split(body)
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
        except Exception:  # noqa: BLE001 - one request must not end the server
            # What an application raises may be secret; the log is its owner's.
            reference = self._limited_log.failure("a request could not be answered")
            self.refuse(
                caller,
                ErrorCode.INTERNAL,
                f"the server failed to answer this request; its log has more, at {reference}",
            )

    def _read_data(self) -> None:
        self._read_subscriptions()

    def _read_subscriptions(self) -> bool:
        """Read a number of subscriptions; False when there may be more, for the next round."""
        assert self._sockets is not None
        data = self._sockets.data
        for _ in range(_MAX_SUBSCRIPTIONS_AT_ONCE):
            try:
                message = data.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return True
            frame = message.bytes
            entry = self._subscriptions.take(frame, _read_origin(message))
            if entry.excess is not None:
                self._end_connection(entry.excess)
            if entry.change:
                self._handshake.saw(frame, abs(entry.change))
        self.loop.look_again(data)
        return False

    def _end_connection(self, excess: Excess) -> None:
        assert self._sockets is not None
        if self._sockets.end_data_connection(excess.descriptor):
            self._limited_log.warning(
                "subscriptions", "data connection ended: it had %s", excess.reason
            )

    # -- ping ---------------------------------------------------------------------------------

    def _ping(self, request: PingRequest, caller: Caller) -> None:
        if not request.wait_seconds or self.ready:
            self._pong(request, caller)
        elif not self._held_pings.hold(request, caller):
            self.refuse(
                caller,
                ErrorCode.BUSY,
                "the server holds as many pings as it may: send this one again without "
                "wait_seconds, or when others have been answered",
            )

    def _answer_ping(self, request: PingRequest, caller: Caller) -> None:
        self._answer(caller, partial(self._pong, request, caller))

    def _pong(self, request: PingRequest, caller: Caller) -> None:
        frame = self._pongs.compose(
            caller.request_id,
            ready=self.ready,
            details=self._describe(),
            progress_subscribers=self.registrations.list_clients(MAX_LISTED),
            progress_subscriber_count=self.registrations.client_count,
            work=self.describe_work(request.limit),
        )
        self.send_reply(caller, frame)


def _read_origin(message: zmq.Frame) -> Origin | None:
    """Return the connection that has sent a message; None: libzmq itself reports its end."""
    try:
        return Origin(int(message.get(zmq.SRCFD)), str(message.get("User-Id")))
    except zmq.ZMQError:
        return None


def _split(frame: bytes) -> Incoming:
    # Not above: a start needs none.
    from zmqruntime.messages.lowlevel import split_request

    return split_request(frame)
