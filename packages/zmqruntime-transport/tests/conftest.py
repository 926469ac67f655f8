"""Fixtures: a private endpoint for each test, servers, launchers and bare ZeroMQ sockets."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from hypothesis import settings

HERE = Path(__file__).parent

# Tests are not in a package: makes their shared modules importable.
sys.path.insert(0, str(HERE))

from transport_peers import PATIENCE_SECONDS, OpenServer, RawPeer, free_tcp_ports  # noqa: E402

from zmqruntime.transport import (  # noqa: E402
    Endpoint,
    ServerArguments,
    SubprocessLauncher,
    ZMQClient,
    ZMQConfig,
)

# A slow machine does not fail a test.
settings.register_profile("unhurried", settings.default, deadline=None)
settings.load_profile("unhurried")

StartProcess = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    """A private directory, with a path short enough for socket files on every platform."""
    directory = Path(tempfile.mkdtemp(prefix="zt"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def tcp_ports() -> tuple[int, int]:
    """A free data port and a free control port."""
    return free_tcp_ports()


@pytest.fixture
def config(runtime_dir: Path, tcp_ports: tuple[int, int]) -> ZMQConfig:
    data_port, control_port = tcp_ports
    return ZMQConfig(
        default_port=data_port,
        control_port_offset=control_port - data_port,
        runtime_dir=runtime_dir,
        log_dir=runtime_dir / "log",
    )


@pytest.fixture
def endpoint(config: ZMQConfig) -> Endpoint:
    """The endpoint of this test's servers and clients, in the platform's default mode."""
    return ZMQClient(config=config).endpoint


@pytest.fixture
def server(config: ZMQConfig) -> Iterator[OpenServer]:
    """A running server."""
    with OpenServer(config=config) as started:
        yield started


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    """A bare ZeroMQ context; its sockets stay open until the end of the test."""
    opened: list[zmq.Socket[bytes]] = []

    class KeepingContext(zmq.Context[zmq.Socket[bytes]]):
        def socket(self, *args: Any, **kwargs: Any) -> zmq.Socket[bytes]:
            opened.append(super().socket(*args, **kwargs))
            return opened[-1]

    bare = KeepingContext()
    yield bare
    for sock in opened:
        sock.close(linger=0)
    bare.term()


@pytest.fixture
def dealer(server: OpenServer, context: zmq.Context[zmq.Socket[bytes]]) -> RawPeer:
    """A bare DEALER, connected to the server."""
    return RawPeer(context, zmq.DEALER, server.endpoint.control_address)


@pytest.fixture
def start_process() -> Iterator[StartProcess]:
    """Start Python processes, which are killed at the end of the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=PATIENCE_SECONDS)


@pytest.fixture
def server_script() -> Path:
    return HERE / "transport_server.py"


@pytest.fixture
def make_launcher(server_script: Path) -> Callable[..., SubprocessLauncher]:
    """Make a launcher of the test's server script, with a given behaviour."""

    def make(act: str = "serve") -> SubprocessLauncher:
        return SubprocessLauncher([sys.executable, str(server_script), f"--act={act}"])

    return make


@pytest.fixture
def child(start_process: StartProcess) -> subprocess.Popen[str]:
    """A running process that waits for input."""
    process = start_process("-c", "print('here', flush=True); input()")
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    return process


@pytest.fixture
def no_pidfd_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove `os.pidfd_open`, as in conda's Python."""
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    # psutil caches what it has read.
    monkeypatch.setattr("psutil._psposix.can_use_pidfd_open", lambda: False, raising=False)


@pytest.fixture
def start_server(
    start_process: StartProcess, server_script: Path, config: ZMQConfig
) -> Callable[[Endpoint], subprocess.Popen[str]]:
    def start(endpoint: Endpoint) -> subprocess.Popen[str]:
        arguments = ServerArguments.for_endpoint(endpoint, config, owner=None, log_file_path=None)
        process = start_process(server_script, *arguments.to_command_line())
        assert process.stdout is not None
        assert process.stdout.readline() == "serves\n"
        return process

    return start
