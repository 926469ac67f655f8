"""Everything that a client opens when it connects, and closes when it disconnects."""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
import weakref
from collections.abc import Callable, Sequence

from zmqruntime.messages import PongReply, ShutdownMode, ShutdownRequest
from zmqruntime.transport.client.attach import Attacher
from zmqruntime.transport.client.blocking_exchange import BlockingExchange, Requester
from zmqruntime.transport.client.close_signal import CloseSignal
from zmqruntime.transport.client.connected_server import ConnectedServer
from zmqruntime.transport.client.exchange import RequestLimits
from zmqruntime.transport.client.mismatch import ServerGuard
from zmqruntime.transport.client.outcome import Outcome
from zmqruntime.transport.client.subscriber import Subscriber
from zmqruntime.transport.client.tracked_context import TrackedContext
from zmqruntime.transport.config import ZMQConfig
from zmqruntime.transport.deadline import Deadline
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import (
    ConnectionFailed,
    NotConnected,
    RequestTimeout,
    ServerLost,
    TransportError,
)
from zmqruntime.transport.process.launcher import LaunchedServer, ServerLauncher
from zmqruntime.transport.process.open_files import naming_file_limit, require_files

__all__ = ["Connection"]

_STOP_OWNED_SECONDS = 10.0
# How long a thread may take to return from a request whose context was terminated.
_LEAVE_SECONDS = 5.0
_DISCARD_SECONDS = 0.2
# File descriptors of a context with its first connection, or of a subscriber: libzmq aborts the
# process when none is left for its own threads.
_CONTEXT_FILES = 32


class Connection:
    """The sockets of one client, and the server that they lead to.

    `establish` attaches it; a connection that fails there is to be discarded.

    Args:
        endpoint: where the server listens.
        config: the client's settings.
        launcher: starts a server when none is running; None: only attach.
        guard: compares a server that is found with the one that the launcher would start.
        owns_server: whether a launched server ends with this connection.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        config: ZMQConfig,
        launcher: ServerLauncher | None,
        guard: ServerGuard,
        *,
        owns_server: bool,
    ) -> None:
        self.closed = CloseSignal(endpoint)
        self._pid = os.getpid()
        self._endpoint = endpoint
        self._config = config
        self._owns_server = owns_server
        self._server: ConnectedServer
        self._launched: LaunchedServer | None = None
        self._reconnecting = threading.Lock()
        require_files(_CONTEXT_FILES, f"a client of the server on {endpoint}")
        self._context = TrackedContext()
        self._requester = Requester(self._context, endpoint, config)
        self._attacher = Attacher(
            self._requester,
            endpoint,
            config,
            launcher,
            guard,
            self.closed,
            persistent=not owns_server,
        )
        self._lock = threading.Lock()
        self._subscribers: weakref.WeakSet[Subscriber] = weakref.WeakSet()

    def establish(self, deadline: Deadline, *, wait_ready: bool) -> None:
        """Attach to a server or launch one; raises as `Attacher.attach_or_launch` does."""
        pong, self._launched = self._attacher.attach_or_launch(deadline, wait_ready=wait_ready)
        self._use_server(pong)

    @property
    def pong(self) -> PongReply:
        """The server's reply when it was last attached to."""
        return self._server.pong

    @property
    def is_here(self) -> bool:
        """Whether this process opened it; False in a fork."""
        return self._pid == os.getpid()

    def check_process(self) -> None:
        """Raise NotConnected in a fork, where no thread reads from its sockets."""
        if not self.is_here:
            raise NotConnected(
                f"the client of {self._endpoint} was connected in process {self._pid}, and this "
                f"is process {os.getpid()}: a client does not outlive a fork; make a new one here"
            )

    @property
    def may_return(self) -> bool:
        """Whether a lost server can come back."""
        return self._server.may_return

    def reestablish(self, deadline: Deadline) -> PongReply:
        """Wait until a server listens at the endpoint again, and use that one.

        A server that this client launched, that crashed and that is durable, is launched again. One
        that was stopped is not.

        Raises:
            ServerLost: no server is back in time.
            NotConnected: the client was closed meanwhile.
        """
        timeout = min(deadline.remaining, threading.TIMEOUT_MAX)
        if not self._reconnecting.acquire(timeout=timeout):
            raise self._make_loss()
        try:
            server = self._server
            if server.pong.durable and self._attacher.can_launch and (server.exit_code or 0) != 0:
                pong, self._launched = self._attacher.attach_or_launch(deadline, wait_ready=False)
            else:
                pong = self._attacher.attach_again(deadline)
                if server.exit_code is not None:
                    self._launched = None  # Another server has replied.
            self._use_server(pong)
        except (ConnectionFailed, RequestTimeout) as error:
            raise self._make_loss(error) from None
        finally:
            self._reconnecting.release()
        return pong

    def open_exchange(self, limits: RequestLimits, *, renews: bool = False) -> BlockingExchange:
        """Return an exchange whose errors distinguish a lost server from a slow one.

        Args:
            limits: how long it may take.
            renews: whether the deadline starts anew with each wait for replies.
        """
        return self._requester.open(
            limits, check=self._raise_if_ended, explain=self._explain, renews=renews
        )

    def subscribe(
        self,
        prefixes: Sequence[bytes],
        on_messages: Callable[[Sequence[tuple[bytes, bytes]]], None],
        on_connection: Callable[[bool], None],
        on_caught_up: Callable[[], None] | None = None,
    ) -> Subscriber:
        """Open a data connection, which `close` closes as well."""
        with self._lock:
            if self.closed.is_set:
                raise self.closed.make_error()
            purpose = f"a data connection to the server on {self._endpoint}"
            require_files(_CONTEXT_FILES, purpose)
            with naming_file_limit(purpose):
                subscriber = Subscriber(
                    self._context,
                    self._endpoint,
                    self._config,
                    prefixes,
                    on_messages,
                    on_connection,
                    on_caught_up,
                )
            self._subscribers.add(subscriber)
            return subscriber

    def wait_for_end(self, deadline: Deadline) -> bool:
        """Wait until the server has closed its sockets and its process, if known, has ended."""
        return self._requester.wait_for_end(deadline) and self._server.wait_for_process(
            deadline, self.closed
        )

    def check_thread(self) -> None:
        """Raise RuntimeError in a thread that `close` would wait for."""
        if any(subscriber.runs_here for subscriber in list(self._subscribers)):
            raise RuntimeError(
                "disconnect() was called from a subscriber's callback and would wait for that "
                "callback to end: call it from another thread"
            )

    def interrupt(self) -> None:
        """End every call of other threads on it, `establish` included. It is to be closed next."""
        self.closed.set()
        self._requester.close()
        self._context.start_end()

    def discard(self) -> None:
        """Close a connection that was not established, and kill a server launched for it."""
        if self._launched is not None:
            self._launched.kill()
        self._requester.close()
        self._context.close_sockets()
        self._context.end(_DISCARD_SECONDS)  # No thread is inside.

    def close(self) -> None:
        """Stop an owned server, then close all sockets, which wakes the threads that wait."""
        with self._lock:  # After it, no subscriber is added.
            self.closed.set()
        try:
            if self._owns_server and self._launched is not None:
                self._stop_server(self._launched)
        finally:
            subscribers = list(self._subscribers)
            for subscriber in subscribers:
                subscriber.stop()
            self._requester.close()
            self._context.end(_LEAVE_SECONDS)
            for subscriber in subscribers:
                subscriber.close()

    def abandon(self) -> None:
        """Close the sockets of a client that was garbage-collected while connected.

        A server that it owns goes on, and ends with this process. In a fork, nothing is closed.
        """
        if self.is_here:
            for subscriber in list(self._subscribers):
                subscriber.stop()  # Its thread closes its socket.
            self._requester.close()
            self._context.start_end().join(_DISCARD_SECONDS)
            # Last: where warnings are errors, it raises.
            warnings.warn(
                f"the client of {self._endpoint} was garbage-collected while connected: call "
                "disconnect()",
                ResourceWarning,
                stacklevel=2,
            )

    def _use_server(self, pong: PongReply) -> None:
        self._server = ConnectedServer(self._endpoint, pong, self._launched)
        self._requester.max_message_bytes = pong.max_message_bytes

    def _raise_if_ended(self, outcome: Outcome) -> None:
        self._server.raise_if_ended(outcome)

    def _make_loss(self, error: TransportError | None = None) -> ServerLost:
        reason = f": {error}" if error else ""
        return ServerLost(
            f"the server on {self._endpoint} was lost and is not back in time{reason}",
            exit_code=self._server.exit_code,
        )

    def _explain(self, error: ConnectionFailed | ServerLost) -> TransportError:
        """Return the error of a request that no server has answered."""
        if self.closed.is_set:  # This client has stopped it.
            return self.closed.make_error()
        if isinstance(error, ServerLost):
            return error
        return ServerLost(f"the server was lost: {error}", exit_code=self._server.exit_code)

    def _stop_server(self, launched: LaunchedServer) -> None:
        deadline = Deadline.after(_STOP_OWNED_SECONDS)
        with (
            contextlib.suppress(TransportError),  # It may have ended already.
            self._requester.open(
                RequestLimits.until(deadline), check=self._raise_if_ended
            ) as exchange,
        ):
            exchange.request(ShutdownRequest(mode=ShutdownMode.NOW))
        if launched.wait(deadline.remaining) is None:
            launched.kill()
