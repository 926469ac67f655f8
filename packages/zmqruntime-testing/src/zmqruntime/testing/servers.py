"""Servers in the test's own process, each with its real worker, that are sure to end."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, Self, TypeVar

import psutil

from zmqruntime.execution import ExecutionSession
from zmqruntime.testing.endpoint import candidate_ports
from zmqruntime.testing.errors import LeftRunning, check_open
from zmqruntime.testing.teardown import Teardown, where_is
from zmqruntime.transport import AddressInUse, ZMQConfig, ZMQServer

__all__ = ["ServerFactory", "start", "stop"]

_S = TypeVar("_S", bound=ZMQServer)

# The part of a test's teardown after which its servers have ended.
_ENDED = 0.9


class _Stoppable(Protocol):
    def stop(self, timeout: float) -> None: ...


class ServerFactory:
    """Starts servers in this process and ends them all, within a bound.

    The fixture ``execution_server`` is one. By itself it is a context manager, for fixtures of
    another scope.

    Args:
        config: what its servers share with their clients.
        teardown: the clock that it shares with what else ends with the test; None: its own.
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
        """Return a server that was made and started.

        Args:
            make: a server class, or anything that takes a port, ``config`` and ``arguments``.
            port: None for any that is free.
            arguments: further ones for ``make``, such as ``max_queued`` or ``transport_mode``.

        Raises:
            AddressInUse: something else holds the port.
            TypeError: it makes no server.
            UsedAfterTest: the test whose factory this is has ended.
        """
        check_open(self._closed, "execution_server")
        if not callable(make):
            raise TypeError(
                f"execution_server takes a class, as in execution_server(MyServer), not {make!r}"
            )
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
        # Before the end: who started a process is not to be seen any more when that one is gone.
        started = [*_descendants(pid for server in servers for pid in _worker_pids(server))]
        for server, has_ended in zip(servers, stop(servers, self._teardown, _ENDED), strict=True):
            if not has_ended:
                started += _descendants(_worker_pids(server))  # It may have a new one.
                complaints.append(
                    f"{type(server).__name__} on {server.endpoint} did not end; "
                    + where_is(f"zmqruntime-server-{server.port}")
                )
        complaints += [
            f"process {pid} ({command}), started by a worker, still ran; it was ended"
            for pid, command in _end(started, self._teardown.left(1.0))
        ]
        if complaints:
            raise LeftRunning("the test left something running: " + "\n".join(complaints))


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


def stop(servers: Sequence[_Stoppable], teardown: Teardown, part: float) -> list[bool]:
    """End servers, all at once; return which have ended before this part of the time is over.

    Each has a third of that to end by itself; then it is ended by force.
    """
    seconds = teardown.left(part) / 3
    ended = teardown.finish(part, *(partial(server.stop, seconds) for server in servers))
    for server, has_ended in zip(servers, ended, strict=True):
        if not has_ended:
            # It would hold up the end of this process as well.
            atexit.unregister(server.stop)
    return ended


def _worker_pids(server: ZMQServer) -> list[int]:
    """Return the worker processes of this server, and of no other one of this process.

    Its runner is asked, and not the server, which may be stuck.
    """
    session = server.server_session
    if not isinstance(session, ExecutionSession):
        return []
    return [worker.pid for worker in session._runner.describe(None)]


def _descendants(pids: Iterable[int]) -> Iterator[psutil.Process]:
    """Yield these processes and all that they started, each by its exact identity."""
    for pid in pids:
        try:
            process = psutil.Process(pid)
            yield from process.children(recursive=True)
        except psutil.NoSuchProcess:
            continue
        yield process


def _end(processes: Iterable[psutil.Process], seconds: float) -> list[tuple[int, str]]:
    """End what still runs of these, and wait until it is gone; return what that was."""
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
    psutil.wait_procs([process for process, _ in ended], timeout=seconds)
    return [(process.pid, command) for process, command in ended]
