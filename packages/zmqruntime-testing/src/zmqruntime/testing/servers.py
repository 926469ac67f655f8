"""Servers in the test's own process, each with its real worker, that are sure to end."""

from __future__ import annotations

import atexit
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self, TypeVar

import psutil

from zmqruntime.messages import ZMQRuntimeError
from zmqruntime.testing.bounded import finish_within, where_is
from zmqruntime.testing.endpoint import candidate_ports, locate
from zmqruntime.testing.errors import LeftRunning
from zmqruntime.transport import AddressInUse, ZMQClient, ZMQConfig, ZMQServer

__all__ = ["ServerFactory"]

_S = TypeVar("_S", bound=ZMQServer)

_WORKER_NAME = "zmqruntime-worker"
_ASK_SECONDS = 1.0
_KILL_SECONDS = 5.0


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
        self, config: ZMQConfig, *, stop_seconds: float = 2.0, force_seconds: float = 10.0
    ) -> None:
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
        """
        arguments = {"config": self._config} | arguments
        for candidate in candidate_ports() if port is None else [port]:
            server = make(candidate, **arguments)
            try:
                server.start()
            except AddressInUse as error:
                refusal = error
                continue
            self._servers.append(server)
            return server
        raise refusal

    def close(self) -> None:
        """End every server, and every process that their workers left behind.

        Raises:
            LeftRunning: something would not end; it says what, and has ended the processes.
        """
        servers, self._servers = self._servers, []
        complaints: list[str] = []
        started: list[psutil.Process] = []
        for server in reversed(servers):
            started += _descendants(self._ask_for_workers(server))
            if not self._stop(server):
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

    def _stop(self, server: ZMQServer) -> bool:
        seconds = self._stop_seconds
        if finish_within(seconds + self._force_seconds, lambda: server.stop(seconds)):
            return True
        atexit.unregister(server.stop)  # It would hold up the end of this process as well.
        return False

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
