"""Runs the servers and clients of one test, and checks that none is left when it ends."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from process_marker import ProcessMarker
from waiting import PATIENCE, eventually

from zmqruntime.execution import ExecutionClient, ExecutionHandle, ExecutionServerLauncher
from zmqruntime.messages import ProgressEvent
from zmqruntime.transport import ConnectionFailed, Endpoint, TransportMode, ZMQClient, ZMQConfig

__all__ = ["HERE", "ChildProcess", "Connect", "Place", "await_phase", "free_port"]

HERE = Path(__file__).parent

Connect = Callable[..., ExecutionClient]
"""Makes a connected client with these arguments."""

_OFFSET = 1000
_SOCKET_FILES = (".sock", ".w")


def free_port() -> int:
    """Return a port that is free, as is the control port that belongs to it.

    It is outside the range of ephemeral ports, so it stays free.
    """
    while True:
        port = random.randrange(20_000, 31_000)
        with contextlib.suppress(OSError), socket.socket() as data, socket.socket() as control:
            data.bind(("127.0.0.1", port))
            control.bind(("127.0.0.1", port + _OFFSET))
            return port


def await_phase(handle: ExecutionHandle, phase: str = "begun") -> ProgressEvent:
    """Return the progress event with this phase, when the running task has reported it."""

    def probe() -> ProgressEvent | None:
        record = handle.status()
        assert not record.status.is_terminal, record
        progress = record.progress
        return progress if progress is not None and progress.phase == phase else None

    return eventually(probe, f"{handle} reports {phase!r}")


class Place:
    """A runtime directory, a port, and the processes that a test starts for them."""

    def __init__(self, transport: TransportMode | None = None, **settings: Any) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="zi"))
        self.transport = transport
        self.mark = ProcessMarker()
        self._threads_before = set(threading.enumerate())
        self.config = ZMQConfig(
            default_port=free_port(),
            runtime_dir=self.directory / "run",
            log_dir=self.directory / "log",
            **settings,
        )
        self.leaves_socket_files = False
        """Whether the test kills a server, which then cannot remove its socket files."""
        self.variables: dict[str, str] = {}
        """Further environment variables of the processes of this place."""
        self._open = contextlib.ExitStack()

    @property
    def endpoint(self) -> Endpoint:
        return ZMQClient(transport_mode=self.transport, config=self.config).endpoint

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the processes of this place, in addition to the test's own."""
        import_path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
        return self.mark.environment | {"PYTHONPATH": import_path} | self.variables

    @property
    def full_environment(self) -> dict[str, str]:
        """The whole environment of the processes of this place."""
        return os.environ | self.environment

    @property
    def options(self) -> list[str]:
        """The command line options that name this place."""
        return [
            f"--port={self.config.default_port}",
            f"--runtime-dir={self.config.runtime_dir}",
            *([f"--transport={self.transport}"] if self.transport else []),
        ]

    def launcher(self, application: str = "Workshop") -> ExecutionServerLauncher:
        return ExecutionServerLauncher(f"applications:{application}", environment=self.environment)

    def client(self, application: str | None = None, **kwargs: Any) -> ExecutionClient:
        """Return a connected client, which launches a server of ``application`` if given.

        The client owns such a server unless ``persistent`` is true.
        """
        client = self.unconnected(application, **kwargs)
        client.connect(PATIENCE)
        return client

    def unconnected(self, application: str | None = None, **kwargs: Any) -> ExecutionClient:
        """Return a client; the place disconnects it."""
        if application is not None:
            usual = {"launcher": self.launcher(application), "persistent": False}
            kwargs = usual | kwargs
        kwargs = {"transport_mode": self.transport, "config": self.config} | kwargs
        client = ExecutionClient(**kwargs)
        self._open.callback(client.disconnect)
        return client

    def attach(self, server: ChildProcess, **kwargs: Any) -> ExecutionClient:
        """Return a client of a server that is starting."""
        client = self.unconnected(**kwargs)

        def connected() -> bool:
            assert server.poll() is None, server.output()
            with contextlib.suppress(ConnectionFailed):
                client.connect(PATIENCE)
            return client.connected

        eventually(connected, "the server listens")
        return client

    def serve(self, application: str = "Workshop", *options: str) -> ChildProcess:
        """Start a server as in a terminal, as the leader of a foreground process group."""
        return self.start(
            "-m",
            "zmqruntime.execution",
            f"applications:{application}",
            *self.options,
            *options,
        )

    def client_process(self, action: str, application: str = "Workshop") -> ChildProcess:
        """Start a client process; the actions are functions of `clients`."""
        port, transport = str(self.config.default_port), self.transport or ""
        place = (port, str(self.directory), transport)
        given = json.dumps(self.environment)  # Part of what identifies a server.
        return self.start("-m", "clients", action, *place, application, given)

    def start(self, *arguments: str) -> ChildProcess:
        """Start a Python process of this place."""
        return self.run([sys.executable, *arguments])

    def run(self, command: Sequence[str], cwd: Path | None = None) -> ChildProcess:
        """Start a process of this place in a session of its own."""
        process = ChildProcess(
            command,
            cwd=cwd,
            env=self.full_environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._open.callback(process.end)
        return process

    def with_settings(self, **settings: Any) -> ZMQConfig:
        """Return the place's configuration with some settings changed."""
        return dataclasses.replace(self.config, **settings)

    def make_runtime_dir(self) -> None:
        """Create the runtime directory as a server does."""
        assert self.config.runtime_dir is not None
        self.config.runtime_dir.mkdir(mode=0o700)

    def socket_files(self) -> list[str]:
        directory = self.config.runtime_dir
        assert directory is not None
        if not directory.exists():
            return []
        return [path.name for path in directory.iterdir() if path.suffix in _SOCKET_FILES]

    def _new_threads(self) -> list[threading.Thread]:
        """Return the threads that the clients and servers of this place started."""
        new = set(threading.enumerate()) - self._threads_before
        return [thread for thread in new if thread.name.startswith("zmqruntime")]

    def close(self) -> None:
        """Disconnect all clients; assert that no process, socket file or thread is left."""
        try:
            self._open.close()
            self.mark.assert_gone()
            if not self.leaves_socket_files:
                assert self.socket_files() == []
            eventually(lambda: not self._new_threads(), "no zmqruntime thread runs", patience=20.0)
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)


class ChildProcess(subprocess.Popen[str]):
    """A process that a test started and may terminate."""

    def output(self) -> str:
        """Wait for the end of the process and return its output."""
        return self.communicate(timeout=PATIENCE)[0]

    def read_until(self, word: str) -> str:
        """Return the output up to the line with ``word``; kill the process after a timeout."""
        assert self.stdout is not None
        timer = threading.Timer(PATIENCE, self.kill)
        timer.start()
        lines = ""
        try:
            while word not in lines:
                line = self.stdout.readline()
                assert line, (
                    f"no line with {word!r} within {PATIENCE:g} s or before the end:\n{lines}"
                )
                lines += line
        finally:
            timer.cancel()
            timer.join()
        return lines

    def interrupt_group(self) -> None:
        """Send SIGINT to the process group, as Ctrl-C in a terminal does."""
        os.killpg(self.pid, signal.SIGINT)

    def end(self) -> None:
        """Terminate the process, if it runs."""
        if self.poll() is None:
            self.terminate()
            try:
                self.communicate(timeout=20.0)
            except subprocess.TimeoutExpired:
                self.kill()
                self.communicate()
                raise
        elif self.stdout is not None:
            self.stdout.close()
