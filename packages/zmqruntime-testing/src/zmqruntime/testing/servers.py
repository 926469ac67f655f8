"""`ServerFactory`: servers in the test's process, stopped with their workers when the test ends."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, Self, TypeVar

import psutil

from zmqruntime.execution import ExecutionServer
from zmqruntime.testing.endpoint import candidate_ports
from zmqruntime.testing.errors import LeftRunning, check_open
from zmqruntime.testing.teardown import Teardown, describe_thread
from zmqruntime.transport import AddressInUse, ZMQConfig, ZMQServer

__all__ = ["ServerFactory", "start", "stop"]

_S = TypeVar("_S", bound=ZMQServer)

# The share of the teardown time after which servers are stopped.
_STOPPED = 0.9


class _Stoppable(Protocol):
    def stop(self, timeout: float) -> None: ...


class ServerFactory:
    """Starts servers in this process, and stops them within a time budget.

    The fixture ``execution_server`` is one. For fixtures of another scope it is a context manager.

    Args:
        config: the configuration that servers share with their clients.
        teardown: the time budget that is shared with other factories; None for its own.
    """

    def __init__(self, config: ZMQConfig, *, teardown: Teardown | None = None) -> None:
        self._closed = False
        self._config = config
        self._teardown = teardown or Teardown()
        self._servers: list[ZMQServer] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __call__(self, make: Callable[..., _S], *, port: int | None = None, **arguments: Any) -> _S:
        """Create and start a server.

        Args:
            make: a server class, or a callable that takes a port, ``config`` and ``arguments``.
            port: None for any free port.
            arguments: further arguments of ``make``, such as ``max_queued`` or ``transport_mode``.

        Raises:
            AddressInUse: the port is in use.
            TypeError: ``make`` is not callable.
            UsedAfterTest: the test has ended.
        """
        check_open(self._closed, "execution_server")
        if not callable(make):
            raise TypeError(
                f"execution_server takes a class, not {make!r}: call execution_server(MyServer)"
            )
        server = start(make, port, {"config": self._config} | arguments)
        self._servers.append(server)
        return server

    def close(self) -> None:
        """Stop every server, and kill the descendants of their workers.

        Raises:
            LeftRunning: a server did not stop, or a descendant of a worker was still running.
        """
        self._closed = True
        servers, self._servers = self._servers, []
        complaints: list[str] = []
        # Collected before the stop: descendants of a dead process cannot be found.
        started = [*_descendants(pid for server in servers for pid in _worker_pids(server))]
        for server, has_stopped in zip(
            servers, stop(servers, self._teardown, _STOPPED), strict=True
        ):
            if not has_stopped:
                started += _descendants(_worker_pids(server))  # It may have started a new one.
                complaints.append(
                    f"{type(server).__name__} on {server.endpoint} did not stop; "
                    + describe_thread(f"zmqruntime-server-{server.port}")
                )
        complaints += [
            f"process {pid} ({command}), started by a worker, was still running and was killed"
            for pid, command in _kill(started, self._teardown.left(1.0))
        ]
        if complaints:
            raise LeftRunning("the test did not clean up: " + "\n".join(complaints))


def start(make: Callable[..., _S], port: int | None, arguments: dict[str, Any]) -> _S:
    """Create and start a server on ``port``, or on any free port.

    Raises:
        AddressInUse: the port is in use.
    """
    for candidate in candidate_ports() if port is None else [port]:
        server = make(candidate, **arguments)
        try:
            server.start()
        except AddressInUse as error:
            in_use = error
            continue
        return server
    raise in_use


def stop(servers: Sequence[_Stoppable], teardown: Teardown, share: float) -> list[bool]:
    """Stop servers in parallel; return for each whether it stopped within this share of the time.

    An orderly stop may take a third of it; then the server is stopped by force.
    """
    seconds = teardown.left(share) / 3
    ended = teardown.finish(share, *(partial(server.stop, seconds) for server in servers))
    for server, has_stopped in zip(servers, ended, strict=True):
        if not has_stopped:
            # The exit handler would block the exit of this process as well.
            atexit.unregister(server.stop)
    return ended


def _worker_pids(server: ZMQServer) -> list[int]:
    """Return the process ids of this server's workers."""
    if not isinstance(server, ExecutionServer):
        return []
    return [worker.pid for worker in server.list_workers()]


def _descendants(pids: Iterable[int]) -> Iterator[psutil.Process]:
    """Yield these processes and their descendants; psutil guards against reused pids."""
    for pid in pids:
        try:
            process = psutil.Process(pid)
            yield from process.children(recursive=True)
        except psutil.NoSuchProcess:
            continue
        yield process


def _kill(processes: Iterable[psutil.Process], seconds: float) -> list[tuple[int, str]]:
    """Kill those that are still running and wait for their exit; return pid and command of each."""
    ended = []
    for process in {p.pid: p for p in processes}.values():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            command = " ".join(process.cmdline())
            process.kill()  # psutil checks the create time: a reused pid raises NoSuchProcess.
        except psutil.NoSuchProcess:
            continue
        ended.append((process, command))
    psutil.wait_procs([process for process, _ in ended], timeout=seconds)
    return [(process.pid, command) for process, command in ended]
