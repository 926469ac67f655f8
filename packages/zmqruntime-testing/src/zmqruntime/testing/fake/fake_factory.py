"""Fakes of a test: started when they are given out, looked through and gone when it is over."""

from __future__ import annotations

from typing import Any, Literal, Self, overload

from zmqruntime.testing.errors import LeftRunning, check_open
from zmqruntime.testing.fake.in_memory_server import InMemoryExecutionServer
from zmqruntime.testing.fake.server import FakeExecutionServer
from zmqruntime.testing.servers import start, stop
from zmqruntime.testing.teardown import Teardown, where_is
from zmqruntime.transport import ZMQConfig

__all__ = ["FakeServerFactory"]

# The part of a test's teardown after which its fakes have ended; other servers come behind.
_ENDED = 0.7


class FakeServerFactory:
    """Starts fakes, and ends them all; then makes sure that each was asked what it was told.

    The fixture ``fake_execution_server`` is one. By itself it is a context manager, for fixtures
    of another scope.

    Args:
        config: what its servers share with their clients.
        teardown: the clock that it shares with what else ends with the test; None: its own.
    """

    def __init__(self, config: ZMQConfig, *, teardown: Teardown | None = None) -> None:
        self._closed = False
        self._teardown = teardown or Teardown()
        self._config = config
        self._servers: list[FakeExecutionServer | InMemoryExecutionServer] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close(check=error[0] is None)

    @overload
    def __call__(
        self, *, in_memory: Literal[False] = False, port: int | None = None, **arguments: Any
    ) -> FakeExecutionServer: ...
    @overload
    def __call__(
        self, *, in_memory: Literal[True], port: None = None, **arguments: Any
    ) -> InMemoryExecutionServer: ...
    @overload
    def __call__(
        self, *, in_memory: bool, port: int | None = None, **arguments: Any
    ) -> FakeExecutionServer | InMemoryExecutionServer: ...
    def __call__(
        self, *, in_memory: bool = False, port: int | None = None, **arguments: Any
    ) -> FakeExecutionServer | InMemoryExecutionServer:
        """Return a fake that was started.

        Args:
            in_memory: without a socket; its clients are made by the fixture ``execution_client``.
            port: None for any that is free.
            arguments: further ones for the fake, such as ``cancel_grace_seconds``.
        """
        check_open(self._closed, "fake_execution_server")
        arguments = {"config": self._config} | arguments
        if in_memory:
            self._servers.append(InMemoryExecutionServer(**arguments))
        else:
            self._servers.append(start(FakeExecutionServer, port, arguments))
        return self._servers[-1]

    def close(self, *, check: bool = True) -> None:
        """End every fake.

        Args:
            check: whether to make sure that each was asked for what it was told.

        Raises:
            LeftRunning: one would not end.
            ScriptMismatch: see `ScriptedServer.check`.
        """
        self._closed = True
        servers, self._servers = self._servers, []
        try:
            ended = stop(servers, self._teardown, _ENDED)
            for server, has_ended in zip(servers, ended, strict=True):
                if not has_ended:
                    assert isinstance(server, FakeExecutionServer)
                    raise LeftRunning(
                        f"the fake on {server.endpoint} did not end; "
                        + where_is(f"zmqruntime-server-{server.port}")
                    )
            if check:
                for server in servers:
                    server.check()
        finally:
            for server in servers:
                server._closed = True
