"""`ClientFactory`: connected clients that are disconnected when the test ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self, TypeVar, overload

from zmqruntime.execution import ExecutionClient
from zmqruntime.messages import ApplicationInfo, ShutdownMode, ZMQRuntimeError
from zmqruntime.testing.endpoint import HasEndpoint, client_arguments
from zmqruntime.testing.errors import check_open
from zmqruntime.testing.fake import InMemoryExecutionServer, connect_in_memory
from zmqruntime.testing.teardown import Release, Teardown
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


ClientTarget = HasEndpoint | InMemoryExecutionServer
"""A server, a fake, or a proxy in front of one."""

# Shares of the teardown time: clients are disconnected, then launched servers are stopped.
_DISCONNECTED = 0.35
_STOPPED = 0.5
_REQUEST_SECONDS = 0.3
_EXIT_SECONDS = 1.0


class ClientFactory:
    """Connects clients, disconnects them at the end, and stops the servers that they launched.

    The fixture ``execution_client`` is one. For fixtures of another scope it is a context manager.

    Args:
        config: the configuration that clients share with their servers.
        teardown: the time budget that is shared with other factories; None for its own.
    """

    def __init__(self, config: ZMQConfig, *, teardown: Teardown | None = None) -> None:
        self._closed = False
        self._owns_teardown = teardown is None
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
        self, server: ClientTarget | None = None, *, make: None = None, **arguments: Any
    ) -> ExecutionClient: ...
    @overload
    def __call__(
        self, server: ClientTarget | None = None, *, make: Callable[..., _C], **arguments: Any
    ) -> _C: ...
    def __call__(
        self,
        server: ClientTarget | None = None,
        *,
        make: Callable[..., Any] | None = None,
        **arguments: Any,
    ) -> Any:
        """Return a connected client.

        Args:
            server: a server, a fake or a proxy; None for the server that ``launcher``, one of
                ``arguments``, starts on the configuration's port. Such a server is stopped with
                the test, even a persistent one.
            make: an `ExecutionClient` subclass, or a callable with the same arguments; None for
                `ExecutionClient`.
            arguments: further arguments of ``make``, such as ``progress_callback``.
        """
        check_open(self._closed, "execution_client")
        if isinstance(server, InMemoryExecutionServer):
            client = connect_in_memory(server, make or ExecutionClient, **arguments)
            self._clients.append(client)
            return client
        where: dict[str, Any] = {"config": self._config}
        if server is not None:
            where = {**client_arguments(server.endpoint), "config": server.config}
        if arguments.get("launcher") is not None:
            arguments["launcher"] = _TrackingLauncher(arguments["launcher"], self._launched)
        client = (make or ExecutionClient)(**where | arguments)
        self._clients.append(client)
        client.connect()
        return client

    def close(self) -> None:
        """Disconnect every client, and stop every server that one of them launched.

        A disconnect that is still waiting for its server continues while other factories close.

        Raises:
            LeftRunning: a disconnect does not return, and the factory has a teardown of its own.
        """
        self._closed = True
        clients, self._clients = self._clients, []
        launched, self._launched = self._launched, []
        try:
            disconnects = [Release(client.disconnect) for client in clients]
            disconnected = self._teardown.await_all(_DISCONNECTED, disconnects)
            for client, disconnect, is_disconnected in zip(
                clients, disconnects, disconnected, strict=True
            ):
                if not is_disconnected:
                    complaint = f"the client of {client.endpoint} did not disconnect"
                    self._teardown.expect(disconnect, complaint)
            if all(disconnected):  # Otherwise one may be waiting for a server that it owns.
                self._teardown.finish(_STOPPED, *(server.end for server in launched))
        finally:
            for server in launched:
                server.server.kill()
        if self._owns_teardown:
            self._teardown.close()


@dataclass(frozen=True)
class _Launched:
    """A server process that a client of this test started."""

    server: LaunchedServer
    endpoint: Endpoint
    config: ZMQConfig

    def end(self) -> None:
        """Request a shutdown; then kill the process."""
        if self.server.exit_code() is not None:
            return
        client = ZMQClient(**client_arguments(self.endpoint), config=self.config)
        try:
            client.connect(_REQUEST_SECONDS)
            client.shutdown_server(ShutdownMode.NOW, _REQUEST_SECONDS)
            self.server.wait(_EXIT_SECONDS)
        except ZMQRuntimeError:
            pass  # The server does not reply; it is killed below.
        finally:
            client.disconnect()
            self.server.kill()


class _TrackingLauncher(ServerLauncher):
    """Delegates to another launcher, and records the servers that it launched."""

    def __init__(self, launcher: ServerLauncher, launched: list[_Launched]) -> None:
        self._launcher = launcher
        self._launched = launched

    def launch(self, endpoint: Endpoint, config: ZMQConfig, *, persistent: bool) -> LaunchedServer:
        server = self._launcher.launch(endpoint, config, persistent=persistent)
        self._launched.append(_Launched(server, endpoint, config))
        return server

    def expect(self, found: ApplicationInfo) -> ExpectedApplication | None:
        return self._launcher.expect(found)
