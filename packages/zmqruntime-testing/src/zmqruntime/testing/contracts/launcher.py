"""The promises of `ServerLauncher`."""

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

_PATIENCE = 60.0

Launch = Callable[..., tuple[ExecutionClient, LaunchedServer]]
"""Makes a client with these arguments, which launches a server; returns both."""


class ServerLauncherContract(ABC):
    """Tests that every server launcher passes, with a server of the standard tasks.

    Derive from it in a test module: ``class TestMyLauncher(ServerLauncherContract)``.
    """

    @abstractmethod
    def make_launcher(self) -> ServerLauncher:
        """Return a launcher of a server of standard tasks, such as `StandardServer`."""

    @pytest.fixture
    def launch(self, zmq_config: ZMQConfig) -> Iterator[Launch]:
        """Launch a server by a client; both end with the test."""
        launcher = _RecordingLauncher(self.make_launcher())
        clients: list[ExecutionClient] = []

        def launch(**arguments: object) -> tuple[ExecutionClient, LaunchedServer]:
            options = {"config": zmq_config, "launcher": launcher, **arguments}
            clients.append(ExecutionClient(**options))  # type: ignore[arg-type]
            clients[-1].connect(_PATIENCE)
            return clients[-1], launcher.launched[-1]

        yield launch
        for server in launcher.launched:
            server.kill()
        for client in clients:
            client.disconnect()

    def test_its_server_runs_tasks(self, launch: Launch) -> None:
        client, server = launch()
        assert client.execute({"do": "echo", "value": 7}, timeout=_PATIENCE) == 7
        assert server.exit_code() is None

    @pytest.mark.parametrize("transport_mode", [None, TransportMode.TCP])
    def test_its_server_is_where_the_client_looks(
        self, launch: Launch, transport_mode: TransportMode | None
    ) -> None:
        client, _ = launch(transport_mode=transport_mode)
        assert client.ping().port == client.endpoint.port

    def test_while_it_runs_a_wait_ends_with_nothing(self, launch: Launch) -> None:
        _, server = launch()
        assert server.wait(0.01) is None

    def test_a_persistent_server_outlives_its_client(
        self, launch: Launch, zmq_config: ZMQConfig
    ) -> None:
        client, server = launch(persistent=True)
        client.disconnect()
        assert server.exit_code() is None
        with ExecutionClient(config=zmq_config) as other:
            assert other.ping().ready

    def test_another_one_ends_with_it(self, launch: Launch) -> None:
        client, server = launch(persistent=False)
        client.disconnect()
        assert server.wait(_PATIENCE) is not None

    def test_after_a_shutdown_its_exit_is_told(self, launch: Launch) -> None:
        client, server = launch()
        client.shutdown_server(ShutdownMode.NOW)
        assert server.wait(_PATIENCE) == 0
        assert server.exit_code() == 0

    def test_killed_it_is_gone_and_says_so(self, launch: Launch, zmq_config: ZMQConfig) -> None:
        _, server = launch()
        server.kill()
        assert server.wait(_PATIENCE) not in (None, 0)
        with pytest.raises(ConnectionFailed):
            ExecutionClient(config=zmq_config).connect(_PATIENCE)

    def test_it_may_be_killed_again(self, launch: Launch) -> None:
        _, server = launch()
        server.kill()
        server.kill()

    def test_what_it_wrote_last_can_be_had_also_after_its_end(self, launch: Launch) -> None:
        _, server = launch()
        server.kill()
        assert isinstance(server.log_tail(), str)


class _RecordingLauncher(ServerLauncher):
    """Launches by another launcher, and keeps what it launched."""

    def __init__(self, launcher: ServerLauncher) -> None:
        self.launched: list[LaunchedServer] = []
        self._launcher = launcher

    def launch(self, endpoint: Endpoint, config: ZMQConfig, *, persistent: bool) -> LaunchedServer:
        self.launched.append(self._launcher.launch(endpoint, config, persistent=persistent))
        return self.launched[-1]

    def expect(self, found: ApplicationInfo) -> ExpectedApplication | None:
        return self._launcher.expect(found)
