"""Attach to the server that is there, or launch one: exactly one, however many clients ask."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import filelock

from zmqruntime.messages import (
    MAX_WAIT_SECONDS,
    ErrorReply,
    MessageError,
    PingRequest,
    PongReply,
    ShutdownMode,
    ShutdownRequest,
)
from zmqruntime.transport.client.channel import Outcome
from zmqruntime.transport.client.control import ControlClient
from zmqruntime.transport.client.host_lookup import look_up
from zmqruntime.transport.client.mismatch import ServerGuard
from zmqruntime.transport.config import TransportMode, ZMQConfig
from zmqruntime.transport.deadline import Deadline
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import ConnectionFailed, LaunchFailed, RequestTimeout
from zmqruntime.transport.process.exit_code import describe_exit
from zmqruntime.transport.process.launcher import LaunchedServer, ServerLauncher
from zmqruntime.transport.process.lock_file import acquire_lock
from zmqruntime.transport.process.private_dirs import check_private_dir, make_private_dir

__all__ = ["attach_again", "attach_or_launch"]


_HELD_PART = 0.5
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0


class _NobodyThere(Exception):
    """The connection was refused: the one case in which launching makes sense."""


class _ServerEnded(_NobodyThere):
    """A server was there, and ended since its worker could not start; says why."""


def attach_or_launch(
    control: ControlClient,
    endpoint: Endpoint,
    config: ZMQConfig,
    launcher: ServerLauncher | None,
    guard: ServerGuard,
    *,
    persistent: bool,
    wait_ready: bool,
    deadline: Deadline,
) -> tuple[PongReply, LaunchedServer | None]:
    """Return the server's pong, and the server's process when this call launched it.

    Clients that start together take turns at a lock file, so that the first one launches
    and the others find its server. One that was launched is waited for in any case.

    Raises:
        ConnectionFailed: nobody listens and there is no launcher, who listens is no server, or
            the host has no address.
        LaunchFailed: the launched server ended, or was not ready in time and was ended.
        RequestTimeout: a server is there but does not get ready in time.
        ServerMismatch: a server is there that the guard refuses.
        EndpointError: somebody else could have put the socket file there.
    """
    if endpoint.transport_mode is TransportMode.IPC:
        check_private_dir(endpoint.directory)
    look_up(endpoint, deadline)
    pong, ended = _attach(control, guard, deadline, wait_ready)
    if pong and guard.accept(pong, may_restart=True):
        return pong, None
    if launcher is None:
        raise ConnectionFailed(
            ended or f"no server listens on {endpoint}: start one, or give the client a launcher"
        )
    with _launch_lock(endpoint, deadline):
        # Another client may have launched or replaced it meanwhile.
        pong, _ = _attach(control, guard, deadline, wait_ready)
        if pong:
            if guard.accept(pong, may_restart=True):
                return pong, None
            _end(control, endpoint, pong, deadline)
        server = launcher.launch(endpoint, config, persistent=persistent)
        return _await_ready(control, endpoint, server, deadline), server


def attach_again(control: ControlClient, deadline: Deadline) -> PongReply:
    """Wait until a server answers where one was before, ready or not; return its pong.

    Raises:
        ConnectionFailed: nobody does by ``deadline``, or not as a server.
        RequestTimeout: the same; something listens there.
    """
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return _ping(control, deadline, lambda _: None, wait_ready=False)
        except ConnectionFailed:  # Something there ends each connection: a proxy, for one.
            if deadline.expired:
                raise
        threading.Event().wait(min(pause, deadline.remaining))
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


@contextlib.contextmanager
def _launch_lock(endpoint: Endpoint, deadline: Deadline) -> Iterator[None]:
    make_private_dir(endpoint.directory)
    try:
        lock = acquire_lock(endpoint.launch_lock_path, _as_timeout(deadline))
    except filelock.Timeout:
        raise ConnectionFailed(
            f"no server on {endpoint} yet: another client is still launching one"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _attach(
    control: ControlClient, guard: ServerGuard, deadline: Deadline, wait_ready: bool
) -> tuple[PongReply | None, str | None]:
    """Return the pong of a server that is there; else None, and why one has just ended, if so.

    The wrong one is not waited for until it is ready.
    """

    def on_broken(outcome: Outcome) -> None:
        if outcome is Outcome.REFUSED:
            raise _NobodyThere

    try:
        if wait_ready and guard.compares:
            pong = _ping(control, deadline, on_broken, wait_ready=False)
            if pong.ready or not guard.accept(pong, may_restart=True):
                return pong, None
        return _ping(control, deadline, on_broken, wait_ready), None
    except _ServerEnded as error:
        return None, str(error)
    except _NobodyThere:
        return None, None


def _end(control: ControlClient, endpoint: Endpoint, pong: PongReply, deadline: Deadline) -> None:
    """End a server that has nothing to do; what it accepts meanwhile, it finishes before."""
    control.request(ShutdownRequest(mode=ShutdownMode.DRAIN), deadline)
    is_over = control.wait_for_end(deadline)
    if is_over and endpoint.transport_mode is TransportMode.IPC:
        # It gives these up a moment after its sockets, and the next one needs them.
        for path in endpoint.serve_lock_paths:
            try:
                acquire_lock(path, _as_timeout(deadline)).release()
            except filelock.Timeout:
                is_over = False
    if not is_over:
        raise RequestTimeout(
            f"the server {pong.server} (process {pong.process.pid}) was asked to end, to be "
            "replaced, and did not end in time"
        )


def _await_ready(
    control: ControlClient, endpoint: Endpoint, server: LaunchedServer, deadline: Deadline
) -> PongReply:
    def on_broken(_: Outcome) -> None:
        if (code := server.exit_code()) is not None:
            raise LaunchFailed(
                f"the server launched for {endpoint} ended with {describe_exit(code)} "
                "before it was ready",
                exit_code=code,
                log_tail=server.log_tail(),
            )

    try:
        return _ping(control, deadline, on_broken, wait_ready=True)
    except (RequestTimeout, ConnectionFailed) as error:
        if isinstance(error, LaunchFailed):
            raise
        server.kill()
        raise LaunchFailed(
            f"the server launched for {endpoint} was not ready in time and was ended",
            log_tail=server.log_tail(),
        ) from None
    except BaseException:
        server.kill()  # Nobody would know of it: the caller was interrupted.
        raise


def _ping(
    control: ControlClient,
    deadline: Deadline,
    on_broken: Callable[[Outcome], None],
    wait_ready: bool,
) -> PongReply:
    pong: PongReply | None = None
    while True:
        # The server holds its answer; not for all of our time, so that we hear a slow one, too.
        hold = min(_HELD_PART * deadline.remaining, MAX_WAIT_SECONDS) if wait_ready else 0.0
        request = PingRequest(limit=0, wait_seconds=hold)
        try:
            reply = control.request(request, deadline, hold=hold, on_broken=on_broken)
        except MessageError as error:
            raise ConnectionFailed(f"who listens there is no server: {error}") from None
        except RequestTimeout:
            if pong is None:
                raise
            raise _not_ready(pong) from None
        except _NobodyThere:
            if pong is None or pong.worker_error is None:
                raise
            raise _ServerEnded(
                f"the server {pong.server} (process {pong.process.pid}) ended before it was "
                f"ready: {pong.worker_error}"
            ) from None
        if not isinstance(reply, PongReply):
            reason = reply.message if isinstance(reply, ErrorReply) else f"it said {reply.type}"
            raise ConnectionFailed(f"who listens there does not answer a ping: {reason}")
        if reply.ready or not wait_ready:
            return reply
        if deadline.expired:
            raise _not_ready(reply)
        pong = reply


def _as_timeout(deadline: Deadline) -> float:
    """Return what remains in the form of filelock, to which -1 is no limit."""
    return -1 if deadline.remaining == float("inf") else deadline.remaining


def _not_ready(pong: PongReply) -> RequestTimeout:
    reason = f": {pong.worker_error}" if pong.worker_error else ""
    return RequestTimeout(
        f"the server {pong.server} (process {pong.process.pid}) is not ready in time{reason}"
    )
