"""The limit of new connections, below the limit of open files."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import psutil
import pytest
import zmq
from transport_peers import PATIENCE_SECONDS, eventually

from zmqruntime.transport import Endpoint, Loop, TransportMode, ZMQClient, ZMQConfig
from zmqruntime.transport.process.file_limit import count_reserved, read_file_limit
from zmqruntime.transport.server.binding import BoundSockets
from zmqruntime.transport.server.connection_limiter import ConnectionLimiter

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no limit of open files")

BareContext = zmq.Context[zmq.Socket[bytes]]
StartProcess = Callable[..., "subprocess.Popen[str]"]

FILES = 128

SERVER = """
import resource, sys
from pathlib import Path
from zmqruntime.transport import TransportMode, ZMQConfig, ZMQServer

data_port, offset, directory, mode, files = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_NOFILE, (int(files), int(files)))
config = ZMQConfig(
    default_port=int(data_port), control_port_offset=int(offset), runtime_dir=Path(directory)
)
server = ZMQServer(config=config, transport_mode=TransportMode(mode))
server.start()
print("serves", flush=True)
server.serve_forever()
"""

LIMITS = """
import resource, sys
from zmqruntime.transport.process.file_limit import raise_file_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (64, int(sys.argv[1])))
raise_file_limit()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def open_connection(endpoint: Endpoint) -> socket.socket:
    if endpoint.transport_mode is TransportMode.TCP:
        return socket.create_connection(("127.0.0.1", endpoint.control_port), PATIENCE_SECONDS)
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(str(endpoint.control_path))
    return peer


def was_ended(peer: socket.socket) -> bool:
    """Wait for the ZMTP greeting of a connection, or for its end."""
    peer.settimeout(PATIENCE_SECONDS)
    with contextlib.suppress(ConnectionResetError):
        while received := peer.recv(64):
            if len(received) >= 10:
                return False
    return True


@pytest.fixture
def open_files() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("mode", list(TransportMode))
def test_connection_beyond_the_limit_is_ended_and_one_below_stays(
    config: ZMQConfig, context: BareContext, mode: TransportMode
) -> None:
    endpoint = ZMQClient(config=config, transport_mode=mode).endpoint
    limits: list[int | None] = [10]
    loop = Loop()
    limiter = ConnectionLimiter(context, loop, read_limit=lambda: limits[0])
    sockets = BoundSockets(context, endpoint, config)
    is_ipc = mode is TransportMode.IPC
    limiter.watch(sockets.control, str(endpoint.control_path) if is_ipc else endpoint.control_port)
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        with open_connection(endpoint) as peer:
            while peer.recv(64):  # The greeting may precede the end.
                pass
        limits[0] = read_file_limit()
        with open_connection(endpoint) as peer:
            assert not was_ended(peer)
        limits[0] = None
        with open_connection(endpoint) as peer:
            assert not was_ended(peer)
    finally:
        loop.post(loop.stop)
        thread.join(PATIENCE_SECONDS)
        loop.close()
        limiter.close()
        sockets.close()


@pytest.mark.parametrize("mode", list(TransportMode))
def test_server_at_its_limit_of_files_replies_and_logs_once(
    config: ZMQConfig,
    start_process: StartProcess,
    open_files: contextlib.ExitStack,
    mode: TransportMode,
) -> None:
    server = start_process(
        "-c",
        SERVER,
        config.default_port,
        config.control_port_offset,
        config.runtime_dir,
        mode,
        FILES,
    )
    assert server.stdout is not None
    assert server.stdout.readline() == "serves\n"
    files = psutil.Process(server.pid)
    with ZMQClient(config=config, transport_mode=mode) as client:
        for _ in range(2 * FILES):
            open_files.enter_context(open_connection(client.endpoint))
            # One by one: connections that are accepted together have to fit into the reserve.
            assert client.ping().ready
        # Slightly more may be open: those that were accepted while others ended.
        eventually(lambda: files.num_fds() < FILES - count_reserved(FILES) // 2)
        open_files.close()
        eventually(lambda: files.num_fds() < FILES - count_reserved(FILES))
        with ZMQClient(config=config, transport_mode=mode) as other:
            assert other.ping().ready
        client.shutdown_server()
    _, logged = server.communicate(timeout=PATIENCE_SECONDS)
    assert logged.count("refusing new connections") == 1
    assert "Traceback" not in logged
    assert server.returncode == 0


@pytest.mark.parametrize("hard", [64, 200])
def test_soft_limit_of_files_is_raised_to_the_hard_one(
    start_process: StartProcess, hard: int
) -> None:
    output, _ = start_process("-c", LIMITS, hard).communicate(timeout=PATIENCE_SECONDS)
    assert output.split() == [str(hard), str(hard)]


def test_reserve_is_half_of_few_files_and_a_quarter_of_many() -> None:
    assert [count_reserved(n) for n in (64, 1024, 4096, 2**20)] == [32, 512, 1024, 2**18]


def test_file_limit_is_none_if_the_system_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_file_limit() == os.sysconf("SC_OPEN_MAX")
    monkeypatch.setattr(sys, "platform", "win32")
    assert read_file_limit() is None
