"""Where the servers and clients of one test meet, and what has to be gone when it ends."""

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

from marked import Mark
from waiting import PATIENCE, eventually

from zmqruntime.execution import ExecutionClient, ExecutionHandle, ExecutionServerLauncher
from zmqruntime.messages import ProgressEvent
from zmqruntime.transport import ConnectionFailed, Endpoint, TransportMode, ZMQClient, ZMQConfig

__all__ = ["HERE", "ChildProcess", "Connect", "Place", "await_phase", "free_port"]

HERE = Path(__file__).parent

Connect = Callable[..., ExecutionClient]
"""Returns a connected client, made with these arguments."""

_OFFSET = 1000
_SOCKET_FILES = (".sock", ".w")


def free_port() -> int:
    """Return a port that is free, and free with the offset added.

    It is not among those that the system hands out by itself, so it stays free.
    """
    while True:
        port = random.randrange(20_000, 31_000)
        with contextlib.suppress(OSError), socket.socket() as data, socket.socket() as control:
            data.bind(("127.0.0.1", port))
            control.bind(("127.0.0.1", port + _OFFSET))
            return port


def await_phase(handle: ExecutionHandle, phase: str = "begun") -> ProgressEvent:
    """Return the event by which a running task tells that it is there."""

    def look() -> ProgressEvent | None:
        record = handle.status()
        assert not record.status.is_terminal, record
        progress = record.progress
        return progress if progress is not None and progress.phase == phase else None

    return eventually(look, f"{handle} reports {phase!r}")


class Place:
    """A runtime directory, a port, and every process that a test starts for it."""

    def __init__(self, transport: TransportMode | None = None, **settings: Any) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="zi"))
        self.transport = transport
        self.mark = Mark()
        self._threads_before = set(threading.enumerate())
        self.config = ZMQConfig(
            default_port=free_port(),
            runtime_dir=self.directory / "run",
            log_dir=self.directory / "log",
            **settings,
        )
        self.leaves_socket_files = False
        """Whether a server is killed here, which cannot tidy up behind itself."""
        self.variables: dict[str, str] = {}
        """What processes of this place find in their environment, beside what is needed."""
        self._open = contextlib.ExitStack()

    @property
    def endpoint(self) -> Endpoint:
        return ZMQClient(transport_mode=self.transport, config=self.config).endpoint

    @property
    def environment(self) -> dict[str, str]:
        """What every process of this place is started with, beside the test's own."""
        import_path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
        return self.mark.environment | {"PYTHONPATH": import_path} | self.variables

    @property
    def full_environment(self) -> dict[str, str]:
        """All that a process of this place finds in its environment."""
        return os.environ | self.environment

    @property
    def options(self) -> list[str]:
        """The place, as the command line takes it."""
        return [
            f"--port={self.config.default_port}",
            f"--runtime-dir={self.config.runtime_dir}",
            *([f"--transport={self.transport}"] if self.transport else []),
        ]

    def launcher(self, application: str = "Workshop") -> ExecutionServerLauncher:
        return ExecutionServerLauncher(f"applications:{application}", environment=self.environment)

    def client(self, application: str | None = None, **kwargs: Any) -> ExecutionClient:
        """Return a connected client, which launches a server of ``application`` if given.

        Such a server ends with its client unless ``persistent`` says otherwise.
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
        """Start a server as a person would in a terminal, whose foreground group it leads."""
        return self.start(
            "-m",
            "zmqruntime.execution",
            f"applications:{application}",
            *self.options,
            *options,
        )

    def client_process(self, deed: str, application: str = "Workshop") -> ChildProcess:
        """Start a client in a process of its own; its deeds are in `clients`."""
        port, transport = str(self.config.default_port), self.transport or ""
        place = (port, str(self.directory), transport)
        given = json.dumps(self.environment)  # Else its server is one with other arguments.
        return self.start("-m", "clients", deed, *place, application, given)

    def start(self, *arguments: str) -> ChildProcess:
        """Start a Python of this place."""
        return self.run([sys.executable, *arguments])

    def run(self, command: Sequence[str], cwd: Path | None = None) -> ChildProcess:
        """Start a process of this place, as the head of a session of its own."""
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
        """Make what a server would make."""
        assert self.config.runtime_dir is not None
        self.config.runtime_dir.mkdir(mode=0o700)

    def socket_files(self) -> list[str]:
        directory = self.config.runtime_dir
        assert directory is not None
        if not directory.exists():
            return []
        return [path.name for path in directory.iterdir() if path.suffix in _SOCKET_FILES]

    def _our_threads(self) -> list[threading.Thread]:
        """Return the threads that this place's clients and servers have left."""
        new = set(threading.enumerate()) - self._threads_before
        return [thread for thread in new if thread.name.startswith("zmqruntime")]

    def close(self) -> None:
        """Disconnect every client, and look for what should not be there."""
        try:
            self._open.close()
            self.mark.assert_gone()
            if not self.leaves_socket_files:
                assert self.socket_files() == []
            eventually(lambda: not self._our_threads(), "no thread of ours runs", patience=20.0)
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)


class ChildProcess(subprocess.Popen[str]):
    """A process that a test has started and may end."""

    def output(self) -> str:
        """Wait for its end and return all that it wrote."""
        return self.communicate(timeout=PATIENCE)[0]

    def read_until(self, word: str) -> str:
        """Return what it wrote, to the line with a word; end it when that does not come."""
        assert self.stdout is not None
        impatience = threading.Timer(PATIENCE, self.kill)
        impatience.start()
        lines = ""
        try:
            while word not in lines:
                line = self.stdout.readline()
                assert line, f"in {PATIENCE:g} s it had no word of {word!r}, or it ended:\n{lines}"
                lines += line
        finally:
            impatience.cancel()
            impatience.join()
        return lines

    def interrupt_group(self) -> None:
        """Press Ctrl-C in its terminal: everybody in the foreground gets it."""
        os.killpg(self.pid, signal.SIGINT)

    def end(self) -> None:
        """End it, if the test has not."""
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
