"""Forks: a client that was connected before a fork is unusable and harmless in the child."""

from __future__ import annotations

import os
import select
import signal
import traceback
from collections.abc import Callable

import pytest
from transport_peers import PATIENCE_SECONDS

from zmqruntime.transport import NotConnected, SubprocessLauncher, ZMQClient, ZMQConfig

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),  # of fork, by 3.12
]


def in_fork(act: Callable[[], str]) -> str:
    """Return the result of ``act`` in a fork of this process, or its error."""
    source, sink = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(sink, act().encode())
        except BaseException:  # noqa: BLE001 - reported by the parent
            os.write(sink, traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.close(sink)
    try:
        output, _, _ = select.select([source], [], [], PATIENCE_SECONDS)
        if not output:
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return os.read(source, 65_536).decode() if output else "it hung"
    finally:
        os.close(source)


@pytest.fixture
def client(config: ZMQConfig, make_launcher: Callable[..., SubprocessLauncher]) -> ZMQClient:
    """A client that owns its server."""
    return ZMQClient(config=config, launcher=make_launcher(), persistent=False)


USES: dict[str, Callable[[ZMQClient], object]] = {
    "ping": lambda client: client.ping(5),
    "connect": lambda client: client.connect(5),
    "reconnect": lambda client: client.reconnect(5),
    "wait": lambda client: client.wait_for_server_end(5),
    "pipeline": lambda client: client.pipeline([]),
    "pong": lambda client: client.pong,
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_calls_in_a_fork_raise_not_connected(
    client: ZMQClient, use: Callable[[ZMQClient], object]
) -> None:
    def act() -> str:
        assert not client.connected
        with pytest.raises(NotConnected) as caught:
            use(client)
        return f"{os.getppid()} {os.getpid()} {caught.value}"

    with client:
        here, there, output = in_fork(act).split(" ", 2)
    assert here == str(os.getpid())
    assert output.endswith(
        f"was connected in process {here}, and this is process {there}: "
        "a client does not outlive a fork; make a new one here"
    )


def test_disconnect_in_a_fork_closes_nothing_of_its_parent(
    client: ZMQClient, config: ZMQConfig
) -> None:
    def act() -> str:
        client.disconnect()
        client.disconnect()
        with ZMQClient(config=config) as another:
            return str(another.ping().process.pid)

    with client:
        server = client.ping().process.pid
        stream = client.subscribe([b""], lambda messages: None, lambda connected: None)
        assert in_fork(act) == str(server)
        assert client.connected
        assert client.ping().process.pid == server
        stream.close()
