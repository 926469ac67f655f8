"""Servers in the test's own process, each with its real worker, that are sure to end."""

from __future__ import annotations

import atexit
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Self, TypeVar

import psutil

from zmqruntime.messages import ZMQRuntimeError
from zmqruntime.testing.bounded import finish_within, where_is
from zmqruntime.testing.endpoint import candidate_ports, locate
from zmqruntime.testing.errors import LeftRunning, check_open
from zmqruntime.transport import AddressInUse, ZMQClient, ZMQConfig, ZMQServer

__all__ = ["ServerFactory", "start"]

_S = TypeVar("_S", bound=ZMQServer)

_WORKER_NAME = "zmqruntime-worker"
_ASK_SECONDS = 0.3
_KILL_SECONDS = 1.0


class ServerFactory:
    """Starts servers in this process and ends them all, within a bound.

    The fixture ``execution_server`` is one. By itself it is a context manager, for fixtures of
    another scope.

    Args:
        config: what its servers share with their clients.
        stop_seconds: how long a server may take to end by itself; then it is ended by force.
        force_seconds: how long that may take; then the test fails.
    """

    def __init__(
        self, config: ZMQConfig, *, stop_seconds: float = 0.5, force_seconds: float = 1.0
    ) -> None:
        self._closed = False
        self._config = config
        self._stop_seconds = stop_seconds
        self._force_seconds = force_seconds
        self._servers: list[ZMQServer] = []
        self._workers_before = _worker_pids()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __call__(self, make: Callable[..., _S], *, port: int | None = None, **arguments: Any) -> _S:
        """Return a server that was made and started.

        Args:
            make: a server class, or anything that takes a port, ``config`` and ``arguments``.
            port: None for any that is free.
            arguments: further ones for ``make``, such as ``max_queued`` or ``transport_mode``.

        Raises:
            AddressInUse: something else holds the port.
            UsedAfterTest: the test whose factory this is has ended.
        """
        check_open(self._closed, "execution_server")
        server = start(make, port, {"config": self._config} | arguments)
        self._servers.append(server)
        return server

    def close(self) -> None:
        """End every server, and every process that their workers left behind.

        Raises:
            LeftRunning: something would not end; it says what, and has ended the processes.
        """
        self._closed = True
        servers, self._servers = self._servers, []
        complaints: list[str] = []
        started: list[psutil.Process] = []
        finish_within(
            _ASK_SECONDS, *(partial(self._find_started, server, started) for server in servers)
        )
        for server, has_ended in zip(servers, self._stop(servers), strict=True):
            if not has_ended:
                started += _descendants(_worker_pids() - self._workers_before)
                complaints.append(
                    f"{type(server).__name__} on {server.endpoint} did not end; "
                    + where_is(f"zmqruntime-server-{server.port}")
                )
        complaints += [
            f"process {pid} ({command}), started by a worker, still ran; it was ended"
            for pid, command in _end(started)
        ]
        if complaints:
            raise LeftRunning("the test left something running: " + "\n".join(complaints))

    def _find_started(self, server: ZMQServer, started: list[psutil.Process]) -> None:
        started += _descendants(self._ask_for_workers(server))

    def _stop(self, servers: Sequence[ZMQServer]) -> list[bool]:
        """End the servers, all at once; return which of them have ended."""
        seconds = self._stop_seconds
        stops = [partial(server.stop, seconds) for server in servers]
        ended = finish_within(seconds + self._force_seconds, *stops)
        for server, has_ended in zip(servers, ended, strict=True):
            if not has_ended:
                # It would hold up the end of this process as well.
                atexit.unregister(server.stop)
        return ended

    def _ask_for_workers(self, server: ZMQServer) -> set[int]:
        if not server.running:
            return set()
        client = ZMQClient(**locate(server.endpoint), config=server.config)
        try:
            pong = client.connect(_ASK_SECONDS)
        except ZMQRuntimeError:
            return set()  # Not ready, or stuck: it is going to be ended by force.
        finally:
            client.disconnect()
        return {worker.pid for worker in pong.workers}


def start(make: Callable[..., _S], port: int | None, arguments: dict[str, Any]) -> _S:
    """Return a server that was made and started, on ``port`` or on any that is free.

    Raises:
        AddressInUse: something else holds the port.
    """
    for candidate in candidate_ports() if port is None else [port]:
        server = make(candidate, **arguments)
        try:
            server.start()
        except AddressInUse as error:
            refusal = error
            continue
        return server
    raise refusal


def _worker_pids() -> set[int]:
    """Return the worker processes of all servers of this process."""
    children = multiprocessing.active_children()
    return {p.pid for p in children if p.name == _WORKER_NAME and p.pid is not None}


def _descendants(pids: Iterable[int]) -> Iterator[psutil.Process]:
    """Yield these processes and all that they started, each by its exact identity."""
    for pid in pids:
        try:
            process = psutil.Process(pid)
            yield from process.children(recursive=True)
        except psutil.NoSuchProcess:
            continue
        yield process


def _end(processes: Iterable[psutil.Process]) -> list[tuple[int, str]]:
    """End what still runs of these; return what that was."""
    ended = []
    for process in {p.pid: p for p in processes}.values():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            command = " ".join(process.cmdline())
            process.kill()  # Only if it is still the one that had this pid then.
        except psutil.NoSuchProcess:
            continue
        ended.append((process, command))
    psutil.wait_procs([process for process, _ in ended], timeout=_KILL_SECONDS)
    return [(process.pid, command) for process, command in ended]
