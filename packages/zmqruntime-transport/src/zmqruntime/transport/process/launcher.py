"""Launchers: start a server process for a client. An application may provide its own."""

from __future__ import annotations

import contextlib
import os
import site
import subprocess
import sys
import sysconfig
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from zmqruntime.messages import ApplicationInfo
from zmqruntime.transport.application import ExpectedApplication
from zmqruntime.transport.config import ZMQConfig
from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import EndpointError, LaunchFailed
from zmqruntime.transport.process.default_dirs import default_log_dir
from zmqruntime.transport.process.identity import ProcessIdentity
from zmqruntime.transport.process.log_rotation import rotate_log_file
from zmqruntime.transport.process.private_dirs import make_private_dir
from zmqruntime.transport.process.private_files import open_log, open_private
from zmqruntime.transport.process.process_tree import (
    RUN_VARIABLE,
    WORKER_VARIABLE,
    kill_process_tree,
)
from zmqruntime.transport.process.server_arguments import ServerArguments

__all__ = ["LaunchedServer", "ServerLauncher", "SubprocessLauncher"]

_TAIL_LINES = 30
_TAIL_BYTES = 16 * 1024


class LaunchedServer(ABC):
    """A server process that was started by this process."""

    @abstractmethod
    def exit_code(self) -> int | None:
        """Return its exit code, negative for a signal; None: it runs. Does not block."""

    @abstractmethod
    def wait(self, timeout: float) -> int | None:
        """Return its exit code; None: it still runs after ``timeout`` seconds."""

    @abstractmethod
    def kill(self) -> None:
        """Kill it, with all processes that it started."""

    @abstractmethod
    def log_tail(self) -> str:
        """Return the last lines of its log, for an error message."""


class ServerLauncher(ABC):
    """Starts a server for a client that has found none."""

    @abstractmethod
    def launch(self, endpoint: Endpoint, config: ZMQConfig, *, persistent: bool) -> LaunchedServer:
        """Start a server on ``endpoint``, and return before it is ready.

        Args:
            endpoint: the server's addresses.
            config: the client's settings, for the server as well.
            persistent: whether it outlives this process; else it stops when this process ends,
                even when it is killed.

        Raises:
            LaunchFailed: the process could not be started.
        """

    def expect(self, found: ApplicationInfo) -> ExpectedApplication | None:
        """Return the application that this would start, for a comparison: a seam.

        None: it is unknown, and any server matches.

        Args:
            found: the application of the server at the endpoint.
        """
        return None


class SubprocessLauncher(ServerLauncher):
    """Runs a command as a server, with its output in a log file.

    Args:
        command: the command, to which the options of `ServerArguments` are appended. With this
            Python (``sys.executable``), the server can import the modules of this program.
        environment: variables in addition to the inherited ones.
        log_file_path: the file for stdout and stderr, appended; None: in the log directory.
        stdin: the content of its standard input; None: it is empty.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        log_file_path: Path | None = None,
        stdin: bytes | None = None,
    ) -> None:
        self._command = tuple(command)
        self._environment = dict(environment or {})
        self._log_file_path = log_file_path
        self._stdin = stdin

    def launch(self, endpoint: Endpoint, config: ZMQConfig, *, persistent: bool) -> LaunchedServer:
        """Start the command, detached from this process's terminal and standard streams."""
        log_path = self._log_file_path or self._default_log_path(endpoint, config)
        arguments = ServerArguments.for_endpoint(
            endpoint,
            config,
            owner=None if persistent else ProcessIdentity.current(),
            log_file_path=log_path,
        )
        command = [*self._command, *arguments.to_command_line()]
        try:
            rotate_log_file(log_path)
            with os.fdopen(open_log(log_path), "ab") as log:
                started_at_byte = log.seek(0, os.SEEK_END)
                process = _Child(
                    command,
                    stdin=subprocess.DEVNULL if self._stdin is None else subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    env=_inherited_environment(persistent=persistent)
                    | self._import_path()
                    | self._environment,
                    # Detached from Ctrl-C and the end of this terminal: by a session of its own
                    # on POSIX, by a process group on Windows.
                    start_new_session=True,
                    creationflags=_creation_flags(),
                )
        except (OSError, EndpointError) as error:
            raise LaunchFailed(
                f"the server could not be started: {error}; command: {' '.join(command)}"
            ) from None
        if self._stdin is not None:
            _write_stdin(process, self._stdin)
        _children[:] = [child for child in _children if child.poll() is None] + [process]
        return _LaunchedSubprocess(process, log_path, started_at_byte)

    def _import_path(self) -> dict[str, str]:
        if self._command[:1] != (sys.executable,) or not (added := _added_import_path()):
            return {}
        return {"PYTHONPATH": os.pathsep.join(added)}

    def _default_log_path(self, endpoint: Endpoint, config: ZMQConfig) -> Path:
        try:
            directory = config.log_dir or default_log_dir(config.app_name)
            make_private_dir(directory, "log_dir")
        except EndpointError as error:
            raise LaunchFailed(f"the log cannot be written: {error}") from None
        return directory / f"{endpoint.app_name}-{endpoint.port}.log"


class _Child(subprocess.Popen[bytes]):
    """A process that may outlive this one, without the ResourceWarning of `subprocess`."""

    def __del__(self) -> None:
        self.poll()
        if self.returncode is not None:
            super().__del__()


def _write_stdin(process: _Child, data: bytes) -> None:
    """Write and close the standard input of a child, in a thread: a pipe may be full."""
    stdin = process.stdin
    assert stdin is not None

    def write() -> None:
        # The exit code reports a child that has ended.
        with contextlib.suppress(OSError), stdin:
            stdin.write(data)

    threading.Thread(target=write, name="zmqruntime-launch", daemon=True).start()


# The children that ran at the last launch; kept to reap them.
_children: list[_Child] = []


class _LaunchedSubprocess(LaunchedServer):
    def __init__(self, process: _Child, log_path: Path, started_at_byte: int) -> None:
        self._process = process
        self._log_path = log_path
        self._started_at_byte = started_at_byte
        # Reaped only by `exit_code` and `wait`, so the pid is valid until then.
        self._handle = psutil.Process(process.pid)

    def exit_code(self) -> int | None:
        return self._process.poll()

    def wait(self, timeout: float) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout)
        return None

    def kill(self) -> None:
        if self._process.poll() is None:
            kill_process_tree(self._handle)
            self._process.wait()

    def log_tail(self) -> str:
        try:
            with os.fdopen(open_private(self._log_path), "rb") as log:
                end = log.seek(0, os.SEEK_END)
                # Shorter than at the start: rotated since, and all of it is newer.
                start = self._started_at_byte if end >= self._started_at_byte else 0
                log.seek(max(start, end - _TAIL_BYTES))
                lines = log.read().decode(errors="replace").splitlines()
        except OSError as error:
            return f"(its log {self._log_path} cannot be read: {error})"
        return "\n".join([f"the end of {self._log_path}:", *lines[-_TAIL_LINES:]]) if lines else ""


def _added_import_path() -> list[str]:
    """Return the directories of ``sys.path`` that a fresh Python would not have."""
    # Only these: the server's children inherit the variable, and another Python among them must
    # not import this one's library.
    library = Path(sysconfig.get_path("stdlib"))
    fresh = {library, *map(Path, (*site.getsitepackages(), site.getusersitepackages()))}
    archive = f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    return [
        str(path)
        for path in map(Path.absolute, map(Path, sys.path))
        if path.name != archive and fresh.isdisjoint((path, *path.parents))
    ]


def _inherited_environment(*, persistent: bool) -> dict[str, str]:
    """Return the environment of this process for a server.

    Without the marks of a task's run, if the server is to outlive the task that launches it.
    """
    marks = {WORKER_VARIABLE, RUN_VARIABLE} if persistent else set()
    return {name: value for name, value in os.environ.items() if name not in marks}


def _creation_flags() -> int:
    if sys.platform == "win32":
        return subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    return 0
