"""Starting a server process: a part that an application may replace."""

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
from zmqruntime.transport.process.identity import ProcessIdentity
from zmqruntime.transport.process.log_rotation import rotate_log_file
from zmqruntime.transport.process.private_files import open_log, open_private
from zmqruntime.transport.process.process_tree import (
    RUN_VARIABLE,
    WORKER_VARIABLE,
    kill_process_tree,
)
from zmqruntime.transport.process.runtime_dir import default_log_dir, make_private_dir
from zmqruntime.transport.process.server_arguments import ServerArguments

__all__ = ["LaunchedServer", "ServerLauncher", "SubprocessLauncher"]

_TAIL_LINES = 30
_TAIL_BYTES = 16 * 1024


class LaunchedServer(ABC):
    """A server process that this process started, and may therefore end."""

    @abstractmethod
    def exit_code(self) -> int | None:
        """Return how it ended, negative for a signal, or None while it runs; never blocks."""

    @abstractmethod
    def wait(self, timeout: float) -> int | None:
        """Return how it ended, or None when it still runs after ``timeout`` seconds."""

    @abstractmethod
    def kill(self) -> None:
        """End it at once, with all that it started."""

    @abstractmethod
    def log_tail(self) -> str:
        """Return the last lines that it wrote, for an error message."""


class ServerLauncher(ABC):
    """Starts a server for a client that found none."""

    @abstractmethod
    def launch(self, endpoint: Endpoint, config: ZMQConfig, *, persistent: bool) -> LaunchedServer:
        """Start a server that will listen on ``endpoint`` and return without waiting for it.

        Args:
            endpoint: where the client looks for it.
            config: the client's settings, which the server has to share.
            persistent: whether it outlives this process; else it ends when this process does,
                even when this process is killed.

        Raises:
            LaunchFailed: it could not be started at all.
        """

    def expect(self, found: ApplicationInfo) -> ExpectedApplication | None:
        """Return the application that this would start, to be compared with the one found.

        May be overridden. None: not known, and any server will do.

        Args:
            found: what the server at the endpoint says that it runs.
        """
        return None


class SubprocessLauncher(ServerLauncher):
    """Runs a command as a server, with its output in a log file.

    Args:
        command: what to run; the options of `ServerArguments` are appended. When it is this
            Python (``sys.executable``), the server can import what this program can.
        environment: variables to set beside the inherited ones.
        log_file_path: where stdout and stderr go, appended; None: the platform's log directory.
        stdin: what the command reads from its standard input, to the end; None: nothing.
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
                    env=_own_environment(persistent=persistent)
                    | self._import_path()
                    | self._environment,
                    # Neither a Ctrl-C nor the end of this terminal reaches the server: on
                    # POSIX by a session, on Windows by a process group of its own.
                    start_new_session=True,
                    creationflags=_creation_flags(),
                )
        except (OSError, EndpointError) as error:
            raise LaunchFailed(
                f"the server could not be started: {error}; command: {' '.join(command)}"
            ) from None
        if self._stdin is not None:
            _feed(process, self._stdin)
        _outliving[:] = [child for child in _outliving if child.poll() is None] + [process]
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
            raise LaunchFailed(f"no log can be written: {error}") from None
        return directory / f"{endpoint.app_name}-{endpoint.port}.log"


class _Child(subprocess.Popen[bytes]):
    """A process that may outlive this one on purpose, so that nobody warns of it."""

    def __del__(self) -> None:
        self.poll()
        if self.returncode is not None:
            super().__del__()


def _feed(process: _Child, data: bytes) -> None:
    """Write the standard input of a child, and close it; a pipe may hold less than all of it."""
    stdin = process.stdin
    assert stdin is not None

    def write() -> None:
        # A child that has ended reads nothing; its exit code says more.
        with contextlib.suppress(OSError), stdin:
            stdin.write(data)

    threading.Thread(target=write, name="zmqruntime-launch", daemon=True).start()


# Every child that was running when last looked at, so that none stays a zombie for good.
_outliving: list[_Child] = []


class _LaunchedSubprocess(LaunchedServer):
    def __init__(self, process: _Child, log_path: Path, started_at_byte: int) -> None:
        self._process = process
        self._log_path = log_path
        self._started_at_byte = started_at_byte
        # Not reaped before `exit_code` or `wait` sees its end, so the pid is its own until then.
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
                # Shorter than at the start: it was rotated meanwhile, and all of it is newer.
                start = self._started_at_byte if end >= self._started_at_byte else 0
                log.seek(max(start, end - _TAIL_BYTES))
                lines = log.read().decode(errors="replace").splitlines()
        except OSError as error:
            return f"(its log {self._log_path} cannot be read: {error})"
        return "\n".join([f"the end of {self._log_path}:", *lines[-_TAIL_LINES:]]) if lines else ""


def _added_import_path() -> list[str]:
    """Return the directories that this program imports from, and a fresh Python would not."""
    # The rest is left out: the variable reaches all that the server starts, and another Python
    # among that must not find this one's library.
    library = Path(sysconfig.get_path("stdlib"))
    fresh = {library, *map(Path, (*site.getsitepackages(), site.getusersitepackages()))}
    archive = f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    return [
        str(path)
        for path in map(Path.absolute, map(Path, sys.path))
        if path.name != archive and fresh.isdisjoint((path, *path.parents))
    ]


def _own_environment(*, persistent: bool) -> dict[str, str]:
    """Return the environment of this process for a server.

    One that is to outlive a task which launches it is not one of the processes of that run.
    """
    own = {WORKER_VARIABLE, RUN_VARIABLE} if persistent else set()
    return {name: value for name, value in os.environ.items() if name not in own}


def _creation_flags() -> int:
    if sys.platform == "win32":
        return subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    return 0
