"""Clients of a test: connected when they are given out, gone when it is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self, TypeVar, overload

from zmqruntime.execution import ExecutionClient
from zmqruntime.messages import ApplicationInfo, ShutdownMode, ZMQRuntimeError
from zmqruntime.testing.endpoint import HasEndpoint, locate
from zmqruntime.testing.errors import check_open
from zmqruntime.testing.fake import InMemoryExecutionServer, connect_in_memory
from zmqruntime.testing.teardown import Ending, Teardown
from zmqruntime.transport import (
    Endpoint,
    ExpectedApplication,
    LaunchedServer,
    ServerLauncher,
    ZMQClient,
    ZMQConfig,
)

__all__ = ["ClientFactory"]

_C = TypeVar("_C", bound=ZMQClient)


Located = HasEndpoint | InMemoryExecutionServer
"""What has clients: a server, a fake, a proxy before one of them."""

# The parts of a test's teardown after which its clients have left, if their servers answer, and
# the servers that they launched have ended.
_LEFT = 0.35
_ENDED = 0.5
_ASK_SECONDS = 0.3
_END_SECONDS = 1.0


class ClientFactory:
    """Connects clients and disconnects them all; ends the servers that they launched.

    The fixture ``execution_client`` is one. By itself it is a context manager, for fixtures of
    another scope.

    Args:
        config: what the clients share with their servers.
        teardown: the clock that it shares with what else ends with the test; None: its own.
    """

    def __init__(self, config: ZMQConfig, *, teardown: Teardown | None = None) -> None:
        self._closed = False
        self._is_alone = teardown is None
        self._teardown = teardown or Teardown()
        self._config = config
        self._clients: list[ZMQClient] = []
        self._launched: list[_Launched] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @overload
    def __call__(
        self, server: Located | None = None, *, make: None = None, **arguments: Any
    ) -> ExecutionClient: ...
    @overload
    def __call__(
        self, server: Located | None = None, *, make: Callable[..., _C], **arguments: Any
    ) -> _C: ...
    def __call__(
        self,
        server: Located | None = None,
        *,
        make: Callable[..., Any] | None = None,
        **arguments: Any,
    ) -> Any:
        """Return a connected client.

        Args:
            server: a server, a fake or a proxy; None for the server that ``launcher``, one of
                ``arguments``, starts on the configuration's port. Such a server ends with the
                test, also a persistent one.
            make: an `ExecutionClient` subclass, or anything that takes what one takes; None:
                an `ExecutionClient`.
            arguments: further ones for ``make``, such as ``progress_callback``.
        """
        check_open(self._closed, "execution_client")
        if isinstance(server, InMemoryExecutionServer):
            client = connect_in_memory(server, make or ExecutionClient, **arguments)
            self._clients.append(client)
            return client
        where: dict[str, Any] = {"config": self._config}
        if server is not None:
            where = {**locate(server.endpoint), "config": server.config}
        if arguments.get("launcher") is not None:
            arguments["launcher"] = _TrackingLauncher(arguments["launcher"], self._launched)
        client = (make or ExecutionClient)(**where | arguments)
        self._clients.append(client)
        client.connect()
        return client

    def close(self) -> None:
        """Disconnect every client, and end every server that one of them launched.

        One whose server does not answer may go on with its leave while others end.

        Raises:
            LeftRunning: a client's disconnect does not return, and nothing else is to end.
        """
        self._closed = True
        clients, self._clients = self._clients, []
        launched, self._launched = self._launched, []
        try:
            leaves = [Ending(client.disconnect) for client in clients]
            have_left = self._teardown.await_all(_LEFT, leaves)
            for client, leave, has_left in zip(clients, leaves, have_left, strict=True):
                if not has_left:
                    complaint = f"the client of {client.endpoint} does not disconnect"
                    self._teardown.expect(leave, complaint)
            if all(have_left):  # Else one may wait for a server that it owns.
                self._teardown.finish(_ENDED, *(server.end for server in launched))
        finally:
            for server in launched:
                server.server.kill()
        if self._is_alone:
            self._teardown.close()


@dataclass(frozen=True)
class _Launched:
    """A server process that a client of this test started."""

    server: LaunchedServer
    endpoint: Endpoint
    config: ZMQConfig

    def end(self) -> None:
        """Ask it to end; then end it."""
        if self.server.exit_code() is not None:
            return
        client = ZMQClient(**locate(self.endpoint), config=self.config)
        try:
            client.connect(_ASK_SECONDS)
            client.shutdown_server(ShutdownMode.NOW, _ASK_SECONDS)
            self.server.wait(_END_SECONDS)
        except ZMQRuntimeError:
            pass  # It does not listen: there is nobody to ask.
        finally:
            client.disconnect()
            self.server.kill()


class _TrackingLauncher(ServerLauncher):
    """Launches by another launcher, and keeps what it launched."""

    def __init__(self, launcher: ServerLauncher, launched: list[_Launched]) -> None:
        self._launcher = launcher
        self._launched = launched

    def launch(self, endpoint: Endpoint, config: ZMQConfig, *, persistent: bool) -> LaunchedServer:
        server = self._launcher.launch(endpoint, config, persistent=persistent)
        self._launched.append(_Launched(server, endpoint, config))
        return server

    def expect(self, found: ApplicationInfo) -> ExpectedApplication | None:
        return self._launcher.expect(found)
