"""One run of a server: its bound sockets, its loop, and the requests that every server takes.

A session lives in one thread. `ServerSession` replies to pings, registrations and shutdown
requests; a package above derives from it to take further requests.
"""

from __future__ import annotations

import contextlib
import logging
import threading
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
from zmqruntime.transport.limited_log import LimitedLog
from zmqruntime.transport.loop import Loop
from zmqruntime.transport.multipart import drain
from zmqruntime.transport.process.identity import ProcessIdentity
from zmqruntime.transport.server.binding import BoundSockets
from zmqruntime.transport.server.connection_limiter import ConnectionLimiter
from zmqruntime.transport.server.file_check import FileCheck
from zmqruntime.transport.server.handshake import MAX_LISTED, RegistrationHandshake
from zmqruntime.transport.server.held_pings import HeldPings
from zmqruntime.transport.server.pongs import Pongs, WorkSummary
from zmqruntime.transport.server.publisher import EventPublisher
from zmqruntime.transport.server.reply_sender import ReplySender
from zmqruntime.transport.server.subscription_reader import SubscriptionReader
from zmqruntime.transport.server.zap import NullAccess
from zmqruntime.transport.server.zap_handler import ZapHandler

if TYPE_CHECKING:
    from zmqruntime.messages import Reply

__all__ = ["ServerSession"]

_log = logging.getLogger("zmqruntime.server")


class ServerSession:
    """The sockets, the loop and the request handlers of a server, from `open` to its end.

    Args:
        name: the name of the server, for pongs.
        version: the version of its package, for pongs.
        endpoint: the addresses to bind to.
        config: the settings.
        log_file_path: the path of the log file, for pongs.
        describe: returns the ``details`` of a pong; called for every ping.
        application: the application, for pongs.
    """

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
        self.settled = threading.Event()
        """Set when the session is `ready` for the first time, or has finished."""
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
        self._held_pings = HeldPings(self.loop, self._answer_held_ping)
        self._limited_log = LimitedLog(_log)
        self.file_check = FileCheck(self.loop, endpoint, self.restore_files, self._limited_log)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: BoundSockets | None = None
        self._limiter = ConnectionLimiter(self._context, self.loop)
        self._sender: ReplySender
        self._subscriptions: SubscriptionReader
        self.publisher: EventPublisher

    # -- start and end ------------------------------------------------------------------------

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
        log, max_unread = self._limited_log, self.config.max_unread_bytes
        self._sender = ReplySender(self.loop, sockets.control, max_unread, log)
        self.publisher = EventPublisher(self.loop, sockets.data, max_unread, log)
        self._subscriptions = SubscriptionReader(self.loop, sockets, self._handshake, log)
        endpoint = self.endpoint
        is_ipc = endpoint.transport_mode is TransportMode.IPC
        for sock, path, port in (
            (sockets.control, endpoint.control_path, endpoint.control_port),
            (sockets.data, endpoint.data_path, endpoint.port),
        ):
            self._limiter.watch(sock, str(path) if is_ipc else port)
        self.loop.add_reader(sockets.control, self._read_control)
        self.loop.add_reader(sockets.data, self._subscriptions.read)

    def run(self) -> None:
        """Serve until the session ends, then close everything, whatever ended it."""
        try:
            try:
                self.on_start()
                if self.ready:
                    self.settled.set()
                self.loop.run()
            finally:
                self._close()
        except BaseException as error:  # noqa: BLE001 - raised again by `serve_forever`
            self.failure = error  # Before the log: a handler of the application may raise.
            _log.critical("the server on %s failed", self.endpoint, exc_info=True)
        finally:
            self.finished.set()
            self.settled.set()

    def shut_down(self, mode: ShutdownMode) -> None:
        """Begin to end, in the loop's thread. A further call may only make it more urgent."""
        self.stopping = True
        self.loop.stop()

    def abort(self) -> None:
        """End without waiting for running work, in the loop's thread."""
        self.loop.stop()

    def on_start(self) -> None:
        """Open what a derived session needs, in the loop's thread: a seam."""

    def on_close(self) -> None:
        """Close what `on_start` opened: a seam. Always called."""

    def _close(self) -> None:
        assert self._sockets is not None
        self.stopping = True
        with contextlib.ExitStack() as steps:  # All of them run, last in first out.
            steps.callback(self._limited_log.close)
            steps.callback(self._context.destroy)
            steps.callback(self._sockets.close)
            steps.callback(self._limiter.close)
            steps.callback(self.loop.close)
            steps.callback(self._handshake.refuse_waiting)
            steps.callback(self._held_pings.answer_all)
            steps.callback(self.on_close)

    # -- seams of a derived session -----------------------------------------------------------

    @property
    def context(self) -> zmq.Context[zmq.Socket[bytes]]:
        """The session's ZeroMQ context."""
        return self._context

    @property
    def ready(self) -> bool:
        """Whether the server can do its work."""
        return not self.stopping

    def describe_work(self, limit: int) -> WorkSummary:
        """Return the executions, up to ``limit`` of each kind, and workers for a pong."""
        return WorkSummary()

    def handle_request(self, request: Incoming, caller: Caller, frame: bytes = b"") -> None:
        """Handle a request. Each gets exactly one `reply`, now or later.

        Args:
            request: the request.
            caller: its sender.
            frame: the bytes that the request was decoded from, which may be used in its place. An
                override that passes on another request leaves them out.
        """
        match request:
            case PingRequest():
                self._handle_ping(request, caller)
            case RegisterProgressRequest():
                # The subscription may be unread on the other socket: then nothing has to wait.
                self._subscriptions.read()
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

    def restore_files(self) -> None:
        """Restore socket and lock files that were removed, with their directory: a seam.

        Raises:
            EndpointError: they cannot be restored, or another server has taken the address.
            OSError: they cannot be restored.
        """
        assert self._sockets is not None
        if self._sockets.restore():
            _log.warning(
                "the files of %s were removed, and are restored: exclude %s from programs that "
                "remove old files, or set runtime_dir",
                self.endpoint,
                self.endpoint.directory,
            )

    # -- replies and events -------------------------------------------------------------------

    def reply(self, caller: Caller, message: Reply) -> None:
        """Send the reply to the request of ``caller``."""
        self.send_reply(caller, encode_with_id(message, caller.request_id))

    def refuse(self, caller: Caller, code: ErrorCode, message: str) -> None:
        """Reply with an error."""
        self.reply(caller, ErrorReply(code=code, message=message))

    def send_reply(self, caller: Caller, frame: bytes) -> None:
        """Send an encoded reply that contains the caller's ``request_id``."""
        self._sender.send(caller, frame)

    def send_composed_reply(self, caller: Caller, compose: Callable[[], bytes]) -> None:
        """Send a long reply, composed only when the peer has read enough of the earlier ones."""
        self._sender.send_composed(caller, compose)

    def publish(self, topic: bytes, *events: bytes) -> None:
        """Send events to the subscribers of their topic; never blocks (RFC 29).

        As one array if all subscribers accept arrays, else one by one.
        """
        publisher, rest = self.publisher, events
        if len(events) > 1 and self.registrations.all_accept_arrays:
            # The first frame settles which subscribers get the message: read these, then decide.
            publisher.begin(topic)
            if self._subscriptions.read() and self.registrations.all_accept_arrays:
                publisher.send(b"[%b]" % b",".join(events))
                return
            publisher.send(events[0])
            rest = events[1:]
        for event in rest:
            publisher.send(topic, event)

    def became_ready(self) -> None:
        """Reply to the pings that are held until the server is ready."""
        self._held_pings.begin_to_answer()

    # -- requests -----------------------------------------------------------------------------

    def _read_control(self) -> None:
        assert self._sockets is not None
        if not self.file_check.scheduled:
            self.file_check.schedule()
        for frames in drain(self._sockets.control, 1):  # To try for a second one takes time.
            size = len(frames[-1])
            if not self._sender.postpones(frames[0], partial(self._take_request, frames), size):
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
        """Call ``answer``, and reply with an error if it raises one."""
        try:
            answer()
        except MessageError as error:
            self.reply(caller, make_error_reply(error))
        except Exception:  # noqa: BLE001 - one request must not end the server
            # An application's error may contain secrets: only the log, its owner's, has it.
            reference = self._limited_log.failure("a request could not be answered")
            self.refuse(
                caller,
                ErrorCode.INTERNAL,
                f"the server failed to answer this request; its log has more, at {reference}",
            )

    def _handle_ping(self, request: PingRequest, caller: Caller) -> None:
        if not request.wait_seconds or self.ready:
            self._send_pong(request, caller)
        elif not self._held_pings.hold(request, caller):
            self.refuse(
                caller,
                ErrorCode.BUSY,
                "too many held pings: send this one again without wait_seconds, or when others "
                "have been answered",
            )

    def _answer_held_ping(self, request: PingRequest, caller: Caller) -> None:
        self._answer(caller, partial(self._send_pong, request, caller))

    def _send_pong(self, request: PingRequest, caller: Caller) -> None:
        frame = self._pongs.compose(
            caller.request_id,
            ready=self.ready,
            details=self._describe(),
            progress_subscribers=self.registrations.list_clients(MAX_LISTED),
            progress_subscriber_count=self.registrations.client_count,
            work=self.describe_work(request.limit),
        )
        self.send_reply(caller, frame)


def _split(frame: bytes) -> Incoming:
    # Not above: a start needs none.
    from zmqruntime.messages.lowlevel import split_request

    return split_request(frame)
