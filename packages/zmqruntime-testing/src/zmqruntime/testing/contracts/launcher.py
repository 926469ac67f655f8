"""The contract of `ServerLauncher`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import pytest

from zmqruntime.execution import ExecutionClient
from zmqruntime.messages import ApplicationInfo, ShutdownMode
from zmqruntime.transport import (
    ConnectionFailed,
    Endpoint,
    ExpectedApplication,
    LaunchedServer,
    ServerLauncher,
    TransportMode,
    ZMQConfig,
)

__all__ = ["ServerLauncherContract"]

_TIMEOUT_SECONDS = 60.0

Launch = Callable[..., tuple[ExecutionClient, LaunchedServer]]
"""Creates a client that launches a server; returns both."""


class ServerLauncherContract(ABC):
    """Tests that every server launcher passes, with the standard tasks.

    Derive from it in a test module: ``class TestMyLauncher(ServerLauncherContract)``.
    """

    @abstractmethod
    def make_launcher(self) -> ServerLauncher:
        """Return a launcher of a server with the standard tasks, such as `StandardServer`."""

    @pytest.fixture
    def launch(self, zmq_config: ZMQConfig) -> Iterator[Launch]:
        """Launch servers through clients; both are stopped after the test."""
        launcher = _RecordingLauncher(self.make_launcher())
        clients: list[ExecutionClient] = []

        def launch(**arguments: object) -> tuple[ExecutionClient, LaunchedServer]:
            options = {"config": zmq_config, "launcher": launcher, **arguments}
            clients.append(ExecutionClient(**options))  # type: ignore[arg-type]
            clients[-1].connect(_TIMEOUT_SECONDS)
            return clients[-1], launcher.launched[-1]

        yield launch
        for server in launcher.launched:
            server.kill()
        for client in clients:
            client.disconnect()

    def test_launched_server_runs_tasks(self, launch: Launch) -> None:
        client, server = launch()
        assert client.execute({"do": "echo", "value": 7}, timeout=_TIMEOUT_SECONDS) == 7
        assert server.exit_code() is None

    @pytest.mark.parametrize("transport_mode", [None, TransportMode.TCP])
    def test_launched_server_has_the_endpoint_of_the_client(
        self, launch: Launch, transport_mode: TransportMode | None
    ) -> None:
        client, _ = launch(transport_mode=transport_mode)
        assert client.ping().port == client.endpoint.port

    def test_wait_for_a_running_server_returns_none(self, launch: Launch) -> None:
        _, server = launch()
        assert server.wait(0.01) is None

    def test_persistent_server_outlives_its_client(
        self, launch: Launch, zmq_config: ZMQConfig
    ) -> None:
        client, server = launch(persistent=True)
        client.disconnect()
        assert server.exit_code() is None
        with ExecutionClient(config=zmq_config) as other:
            assert other.ping().ready

    def test_owned_server_stops_with_its_client(self, launch: Launch) -> None:
        client, server = launch(persistent=False)
        client.disconnect()
        assert server.wait(_TIMEOUT_SECONDS) is not None

    def test_exit_code_is_0_after_a_shutdown(self, launch: Launch) -> None:
        client, server = launch()
        client.shutdown_server(ShutdownMode.NOW)
        assert server.wait(_TIMEOUT_SECONDS) == 0
        assert server.exit_code() == 0

    def test_killed_server_has_an_exit_code_and_is_unreachable(
        self, launch: Launch, zmq_config: ZMQConfig
    ) -> None:
        _, server = launch()
        server.kill()
        assert server.wait(_TIMEOUT_SECONDS) not in (None, 0)
        with pytest.raises(ConnectionFailed):
            ExecutionClient(config=zmq_config).connect(_TIMEOUT_SECONDS)

    def test_second_kill_does_nothing(self, launch: Launch) -> None:
        _, server = launch()
        server.kill()
        server.kill()

    def test_log_tail_is_readable_after_the_exit(self, launch: Launch) -> None:
        _, server = launch()
        server.kill()
        server.log_tail()  # Must not raise.


class _RecordingLauncher(ServerLauncher):
    """Delegates to another launcher, and records the servers that it launched."""

    def __init__(self, launcher: ServerLauncher) -> None:
        self.launched: list[LaunchedServer] = []
        self._launcher = launcher

    def launch(self, endpoint: Endpoint, config: ZMQConfig, *, persistent: bool) -> LaunchedServer:
        self.launched.append(self._launcher.launch(endpoint, config, persistent=persistent))
        return self.launched[-1]

    def expect(self, found: ApplicationInfo) -> ExpectedApplication | None:
        return self._launcher.expect(found)
