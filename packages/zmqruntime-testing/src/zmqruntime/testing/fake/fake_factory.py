"""`FakeServerFactory`: fakes that are checked and stopped when the test ends."""

from __future__ import annotations

from typing import Any, Literal, Self, overload

from zmqruntime.testing.errors import LeftRunning, check_open
from zmqruntime.testing.fake.in_memory_server import InMemoryExecutionServer
from zmqruntime.testing.fake.server import FakeExecutionServer
from zmqruntime.testing.servers import start, stop
from zmqruntime.testing.teardown import Teardown, describe_thread
from zmqruntime.transport import ZMQConfig

__all__ = ["FakeServerFactory"]

# The share of the teardown time after which fakes are stopped; real servers follow.
_STOPPED = 0.7


class FakeServerFactory:
    """Starts fakes, stops them at the end, and checks that their scripts were used.

    The fixture ``fake_execution_server`` is one. For fixtures of another scope it is a
    context manager.

    Args:
        config: the configuration that fakes share with their clients.
        teardown: the time budget that is shared with other factories; None for its own.
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
        """Create and start a fake.

        Args:
            in_memory: whether it has no socket; ``execution_client`` makes its clients.
            port: None for any free port.
            arguments: further arguments of the fake, such as ``cancel_grace_seconds``.
        """
        check_open(self._closed, "fake_execution_server")
        arguments = {"config": self._config} | arguments
        if in_memory:
            self._servers.append(InMemoryExecutionServer(**arguments))
        else:
            self._servers.append(start(FakeExecutionServer, port, arguments))
        return self._servers[-1]

    def close(self, *, check: bool = True) -> None:
        """Stop every fake.

        Args:
            check: whether to check that every script and refusal was used.

        Raises:
            LeftRunning: a fake did not stop.
            ScriptMismatch: see `ScriptedServer.check`.
        """
        self._closed = True
        servers, self._servers = self._servers, []
        try:
            stopped = stop(servers, self._teardown, _STOPPED)
            for server, has_stopped in zip(servers, stopped, strict=True):
                if not has_stopped:
                    assert isinstance(server, FakeExecutionServer)
                    raise LeftRunning(
                        f"the fake on {server.endpoint} did not stop; "
                        + describe_thread(f"zmqruntime-server-{server.port}")
                    )
            if check:
                for server in servers:
                    server.check()
        finally:
            for server in servers:
                server._closed = True
