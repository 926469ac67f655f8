"""Attaches to the server that is running, or launches one: exactly one for all clients."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import filelock

from zmqruntime.messages import PongReply, ShutdownMode, ShutdownRequest
from zmqruntime.transport.backoff import Backoff
from zmqruntime.transport.client.blocking_exchange import Requester
from zmqruntime.transport.client.close_signal import CloseSignal
from zmqruntime.transport.client.exchange import RequestLimits
from zmqruntime.transport.client.host_lookup import resolve_host
from zmqruntime.transport.client.mismatch import ServerGuard
from zmqruntime.transport.client.outcome import Outcome
from zmqruntime.transport.client.readiness import NotListening, ServerEnded, ping
from zmqruntime.transport.config import TransportMode, ZMQConfig
from zmqruntime.transport.deadline import Deadline
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import ConnectionFailed, LaunchFailed, RequestTimeout
from zmqruntime.transport.process.exit_code import describe_exit
from zmqruntime.transport.process.launcher import LaunchedServer, ServerLauncher
from zmqruntime.transport.process.lock_file import acquire_lock
from zmqruntime.transport.process.private_dirs import check_private_dir, make_private_dir

__all__ = ["Attacher"]

_BACKOFF = Backoff(0.05, 2.0)


class Attacher:
    """Finds or launches the server of one client.

    Clients that start together take turns at a lock file: the first one launches, and the others
    find its server.

    Args:
        requester: sends requests to the endpoint.
        endpoint: where the server listens.
        config: the client's settings.
        launcher: starts a server; None: only attach.
        guard: compares the server that is found with the one that the launcher would start.
        closed: ends the waits when the client is closed.
        persistent: whether a launched server outlives the client.
    """

    def __init__(
        self,
        requester: Requester,
        endpoint: Endpoint,
        config: ZMQConfig,
        launcher: ServerLauncher | None,
        guard: ServerGuard,
        closed: CloseSignal,
        *,
        persistent: bool,
    ) -> None:
        self._requester = requester
        self._endpoint = endpoint
        self._config = config
        self._launcher = launcher
        self._guard = guard
        self._closed = closed
        self._persistent = persistent

    @property
    def can_launch(self) -> bool:
        """Whether there is a launcher."""
        return self._launcher is not None

    def attach_or_launch(
        self, deadline: Deadline, *, wait_ready: bool
    ) -> tuple[PongReply, LaunchedServer | None]:
        """Return the server's pong, and the server's process when this call launched it.

        Args:
            deadline: of all steps together.
            wait_ready: whether to wait until a running server is ready; a launched one is always
                awaited.

        Raises:
            ConnectionFailed: no server listens and there is no launcher, the peer is not a server,
                or the host has no address.
            LaunchFailed: the launched server ended, or was not ready in time and was killed.
            RequestTimeout: the running server is not ready in time.
            ServerMismatch: the guard refuses the server.
            EndpointError: another user could have created the socket file.
            NotConnected: the client was closed meanwhile.
        """
        endpoint = self._endpoint
        if endpoint.transport_mode is TransportMode.IPC:
            check_private_dir(endpoint.directory)
        resolve_host(endpoint, deadline, self._closed)
        pong, ended = self._find(deadline, wait_ready)
        if pong and self._guard.accept(pong, may_restart=True):
            return pong, None
        if self._launcher is None:
            raise ConnectionFailed(
                ended
                or f"no server listens on {endpoint}: start one, or give the client a launcher"
            )
        with self._launch_lock(deadline):
            # Another client may have launched or replaced it meanwhile.
            pong, _ = self._find(deadline, wait_ready)
            if pong:
                if self._guard.accept(pong, may_restart=True):
                    return pong, None
                self._end(pong, deadline)
            server = self._launcher.launch(endpoint, self._config, persistent=self._persistent)
            return self._await_ready(server, deadline), server

    def attach_again(self, deadline: Deadline) -> PongReply:
        """Wait until a server replies where one was lost, ready or not; return its pong.

        Raises:
            ConnectionFailed: no server listens there by ``deadline``.
            RequestTimeout: a peer listens there, and has not replied by ``deadline``.
            NotConnected: the client was closed meanwhile.
        """
        failures = 0
        while True:
            try:
                pong = ping(self._requester, deadline, lambda _: None, wait_ready=False)
            except ConnectionFailed:  # A peer that closes each connection: a proxy, for one.
                if deadline.expired:
                    raise
            else:
                self._guard.accept(pong)
                return pong
            failures += 1
            self._closed.pause(min(_BACKOFF.compute_delay(failures), deadline.remaining))

    def _find(self, deadline: Deadline, wait_ready: bool) -> tuple[PongReply | None, str | None]:
        """Return the pong of a running server; else None, and why one has just ended, if so.

        A server that the guard refuses is returned before it is ready.
        """

        def check(outcome: Outcome) -> None:
            if outcome is Outcome.REFUSED:
                raise NotListening

        try:
            if wait_ready and self._guard.compares:
                pong = ping(self._requester, deadline, check, wait_ready=False)
                if pong.ready or not self._guard.accept(pong, may_restart=True):
                    return pong, None
            return ping(self._requester, deadline, check, wait_ready=wait_ready), None
        except ServerEnded as error:
            return None, str(error)
        except NotListening:
            return None, None

    def _end(self, pong: PongReply, deadline: Deadline) -> None:
        """Stop an idle server; it finishes what it accepts meanwhile."""
        with self._requester.open(RequestLimits.until(deadline)) as exchange:
            exchange.request(ShutdownRequest(mode=ShutdownMode.DRAIN))
        has_ended = self._requester.wait_for_end(deadline)
        if has_ended and self._endpoint.transport_mode is TransportMode.IPC:
            # Released a moment after its sockets, and needed by the next server.
            for path in self._endpoint.serve_lock_paths:
                try:
                    self._take_lock(path, deadline).release()
                except filelock.Timeout:
                    has_ended = False
        if not has_ended:
            raise RequestTimeout(
                f"the server {pong.server} (process {pong.process.pid}) did not stop in time: it "
                "was to be replaced"
            )

    def _await_ready(self, server: LaunchedServer, deadline: Deadline) -> PongReply:
        def check(_: Outcome) -> None:
            if (code := server.exit_code()) is not None:
                raise LaunchFailed(
                    f"the server launched for {self._endpoint} ended with {describe_exit(code)} "
                    "before it was ready",
                    exit_code=code,
                    log_tail=server.log_tail(),
                )

        try:
            return ping(self._requester, deadline, check, wait_ready=True)
        except LaunchFailed:
            raise
        except (RequestTimeout, ConnectionFailed):
            server.kill()
            raise LaunchFailed(
                f"the server launched for {self._endpoint} was not ready in time and was killed",
                log_tail=server.log_tail(),
            ) from None
        except BaseException:
            server.kill()  # An interrupt, too: no caller gets to know this server.
            raise

    @contextlib.contextmanager
    def _launch_lock(self, deadline: Deadline) -> Iterator[None]:
        make_private_dir(self._endpoint.directory)
        try:
            lock = self._take_lock(self._endpoint.launch_lock_path, deadline)
        except filelock.Timeout:
            raise ConnectionFailed(
                f"no server on {self._endpoint} yet: another client is still launching one"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _take_lock(self, path: Path, deadline: Deadline) -> filelock.BaseFileLock:
        # To filelock, -1 is no limit.
        timeout = -1 if deadline.remaining == float("inf") else deadline.remaining
        try:
            return acquire_lock(path, timeout, cancelled=lambda: self._closed.is_set)
        except filelock.Timeout:
            if self._closed.is_set:
                raise self._closed.make_error() from None
            raise
