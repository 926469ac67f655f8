"""What a client opens when it connects and closes when it disconnects."""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
import weakref
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Self

from zmqruntime.messages import PongReply, Reply, ShutdownMode, ShutdownRequest
from zmqruntime.messages.lowlevel import Outgoing
from zmqruntime.transport.client.attach import attach_again, attach_or_launch
from zmqruntime.transport.client.channel import Outcome
from zmqruntime.transport.client.control import ControlClient
from zmqruntime.transport.client.mismatch import ServerGuard
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
from zmqruntime.transport.process.exit_code import describe_exit
from zmqruntime.transport.process.identity import ProcessIdentity
from zmqruntime.transport.process.launcher import LaunchedServer, ServerLauncher
from zmqruntime.transport.process.open_files import naming_file_limit, require_files

__all__ = ["Connection"]

_STOP_OWNED_SECONDS = 10.0
# How long a thread may take to leave a request whose context has ended.
_LEAVE_SECONDS = 5.0
_DISCARD_SECONDS = 0.2
# Of a context with its first connection, and of a subscriber; libzmq ends the process where it
# finds none for its own threads.
_CONTEXT_FILES = 32


class Connection:
    """The sockets to one server, and whether that still lives.

    Args:
        owns_server: whether a server that `establish` launches ends with this connection.
    """

    def __init__(self, endpoint: Endpoint, config: ZMQConfig, *, owns_server: bool) -> None:
        self.pong: PongReply
        self._pid = os.getpid()
        self._endpoint = endpoint
        self._config = config
        self._owns_server = owns_server
        self._launcher: ServerLauncher | None = None
        self._guard = ServerGuard(endpoint, None, None)
        self._server: LaunchedServer | None = None
        self._returning = threading.Lock()
        require_files(_CONTEXT_FILES, f"a client of the server on {endpoint}")
        self._context = TrackedContext()
        self._control = ControlClient(self._context, endpoint, config)
        self._lock = threading.Lock()
        self._subscribers: weakref.WeakSet[Subscriber] = weakref.WeakSet()
        self._closing = False
        self._ending: threading.Thread | None = None
        self._server_process: ProcessIdentity | None = None

    def establish(
        self,
        launcher: ServerLauncher | None,
        guard: ServerGuard,
        deadline: Deadline,
        *,
        wait_ready: bool,
    ) -> Self:
        """Attach or launch; when that fails, `discard` it."""
        self._launcher, self._guard = launcher, guard
        self.pong, self._server = attach_or_launch(
            self._control,
            self._endpoint,
            self._config,
            launcher,
            guard,
            persistent=not self._owns_server,
            wait_ready=wait_ready,
            deadline=deadline,
        )
        self._note_process()
        return self

    def discard(self) -> None:
        """Close a connection that no caller has got, and end a server that was launched for it."""
        if self._server is not None:
            self._server.kill()
        self._control.close()
        self._context.close_sockets()
        self._terminate(_DISCARD_SECONDS)  # No thread is inside.

    @property
    def is_here(self) -> bool:
        """Whether this is the process that opened it, and no fork of that one."""
        return self._pid == os.getpid()

    def check_process(self) -> None:
        """Raise NotConnected in a fork, where nobody reads what comes over its sockets."""
        if not self.is_here:
            raise NotConnected(
                f"the client of {self._endpoint} was connected in process {self._pid}, and this "
                f"is process {os.getpid()}: a client does not outlive a fork; make a new one here"
            )

    @property
    def may_return(self) -> bool:
        """Whether it makes sense to wait for a server that was lost.

        Not when its process is known to have ended, and to have kept nothing for another one.
        """
        process = self._server_process
        return process is None or self.pong.durable or process.is_running()

    def reestablish(self, deadline: Deadline) -> PongReply:
        """Wait until a server is at the endpoint again, and go on with that one.

        One that this client launched, and that crashed, is launched again if it had kept its
        work. Whoever was asked to end is left alone.

        Raises:
            ServerLost: none is back in time.
        """
        if not self._returning.acquire(timeout=_as_lock_timeout(deadline)):
            raise self._not_back()
        try:
            if self.pong.durable and self._launcher and (self._exit_code() or 0) != 0:
                self.pong, self._server = attach_or_launch(
                    self._control,
                    self._endpoint,
                    self._config,
                    self._launcher,
                    self._guard,
                    persistent=not self._owns_server,
                    wait_ready=False,
                    deadline=deadline,
                )
            else:
                pong = attach_again(self._control, deadline)
                self._guard.accept(pong)
                self.pong = pong
                if self._exit_code() is not None:
                    self._server = None  # It is another one that answers.
            self._note_process()
        except (ConnectionFailed, RequestTimeout) as error:
            raise self._not_back(error) from None
        finally:
            self._returning.release()
        return self.pong

    def request(self, request: Outgoing, deadline: Deadline, hold: float) -> Reply:
        """Return the reply to a request, or say what became of the server."""
        try:
            return self._control.request(
                request, deadline, hold=hold, on_broken=self._raise_if_lost
            )
        except (ConnectionFailed, ServerLost) as error:
            raise self._as_loss(error) from None

    def exchange(
        self, requests: Sequence[Outgoing], deadline: Deadline, hold: float
    ) -> list[Reply]:
        """Return the replies to ``requests``, or say what became of the server."""
        try:
            return self._control.exchange(
                requests, deadline, hold=hold, on_broken=self._raise_if_lost
            )
        except (ConnectionFailed, ServerLost) as error:
            raise self._as_loss(error) from None

    def pipeline(
        self, requests: Iterable[Outgoing | None], seconds: float, hold: float, window: int
    ) -> Generator[tuple[Outgoing, Reply], None, None]:
        """Yield requests with their replies, or say what became of the server."""
        try:
            yield from self._control.pipeline(
                requests, seconds, window=window, hold=hold, on_broken=self._raise_if_lost
            )
        except (ConnectionFailed, ServerLost) as error:
            raise self._as_loss(error) from None

    def subscribe(
        self,
        prefixes: Sequence[bytes],
        on_messages: Callable[[Sequence[tuple[bytes, bytes]]], None],
        on_connection: Callable[[bool], None],
        on_caught_up: Callable[[], None] | None = None,
    ) -> Subscriber:
        """Open a data connection; it is closed with this one, if not before."""
        with self._lock:
            if self._closing:
                raise NotConnected(f"the client of {self._endpoint} was disconnected")
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
        """Wait until the server has left its sockets and, if it is here, its process is gone."""
        if not self._control.wait_for_end(deadline):
            return False
        process = self._server_process
        if process is None:
            return True
        # In a thread, since the wait for a process knows no time limit.
        waiter = threading.Thread(target=process.wait, name="zmqruntime-end", daemon=True)
        waiter.start()
        waiter.join(None if deadline.at == float("inf") else deadline.remaining)
        return not waiter.is_alive()

    def check_thread(self) -> None:
        """Raise RuntimeError in a thread that `close` would wait for."""
        if any(subscriber.runs_here for subscriber in list(self._subscribers)):
            raise RuntimeError(
                "disconnect() was called from a subscriber's callback and would wait for that "
                "callback to end: call it from another thread"
            )

    def close(self) -> None:
        """End an owned server, then close everything and wake up whoever waits."""
        with self._lock:
            self._closing = True
        try:
            if self._owns_server and self._server is not None:
                self._end_server(self._server)
        finally:
            subscribers = list(self._subscribers)
            for subscriber in subscribers:
                subscriber.stop()
            self._control.close()
            self._terminate()
            for subscriber in subscribers:
                subscriber.close()

    def abandon(self) -> None:
        """Close the sockets of a client that was thrown away; a server that it owns goes on.

        That one ends with this process. In a fork, nothing is closed.
        """
        if self.is_here:
            for subscriber in list(self._subscribers):
                subscriber.stop()  # Its thread closes its socket.
            self._control.close()
            self._end_context().join(_DISCARD_SECONDS)
            # Behind all else: where warnings are errors, it raises.
            warnings.warn(
                f"the client of {self._endpoint} was thrown away, and not disconnected",
                ResourceWarning,
                stacklevel=2,
            )

    def _terminate(self, patience: float = _LEAVE_SECONDS) -> None:
        """End the context, which wakes up every thread in a request, a callback's too."""
        ending = self._end_context()
        ending.join(patience)
        if ending.is_alive():
            self._context.close_sockets()
            # A socket that an interrupt caught in its constructor is held by that traceback alone;
            # when that is gone, the thread ends.
            ending.join(patience)

    def _end_context(self) -> threading.Thread:
        """Begin to end the context, and return the thread in which it ends.

        Not in the caller's, which would wait, deaf to Ctrl-C, for every socket that an interrupt
        left open. Once, however often this is interrupted.
        """
        if self._ending is None:
            self._ending = threading.Thread(
                target=self._context.term, name="zmqruntime-term", daemon=True
            )
        if self._ending.ident is None:
            self._ending.start()
        return self._ending

    def _note_process(self) -> None:
        """Remember whose pong it is, as far as that can be known here."""
        process = ProcessIdentity(self.pong.process.pid, self.pong.process.create_time)
        # Behind a tunnel or a container's port, which are local, the pid means nothing here.
        is_known = self._endpoint.is_local and process.is_running()
        self._server_process = process if is_known else None
        self._control.max_message_bytes = self.pong.max_message_bytes

    def _not_back(self, error: TransportError | None = None) -> ServerLost:
        reason = f": {error}" if error else ""
        return ServerLost(
            f"the server on {self._endpoint} was lost, and none was back in time{reason}",
            exit_code=self._exit_code(),
        )

    def _as_loss(self, error: ConnectionFailed | ServerLost) -> TransportError:
        """Return what to tell a caller whose request has found nobody any more."""
        if self._closing:  # It was this client that ended it.
            return NotConnected(f"the client of {self._endpoint} was disconnected")
        if isinstance(error, ServerLost):
            return error
        return ServerLost(f"{error}. The server was there before", exit_code=self._exit_code())

    def _end_server(self, server: LaunchedServer) -> None:
        deadline = Deadline.after(_STOP_OWNED_SECONDS)
        with contextlib.suppress(TransportError):  # It may be gone already.
            self._control.request(
                ShutdownRequest(mode=ShutdownMode.NOW), deadline, on_broken=self._raise_if_lost
            )
        if server.wait(deadline.remaining) is None:
            server.kill()

    def _raise_if_lost(self, _: Outcome) -> None:
        process = self._server_process
        if process is None or process.is_running():
            return
        # A process counts as ended a moment before its parent can read how.
        code = self._server.wait(1.0) if self._server is not None else None
        how = f" with {describe_exit(code)}" if code is not None else ""
        raise ServerLost(
            f"the server on {self._endpoint} (process {process.pid}) has ended{how}",
            exit_code=code,
        )

    def _exit_code(self) -> int | None:
        return self._server.exit_code() if self._server is not None else None


def _as_lock_timeout(deadline: Deadline) -> float:
    return min(deadline.remaining, threading.TIMEOUT_MAX)
