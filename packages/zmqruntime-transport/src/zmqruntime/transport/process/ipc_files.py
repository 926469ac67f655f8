"""The lock and socket files of a server on ipc, and their restoration after a removal.

The directory of a running server may be removed, at the logout of its user or by a program that
removes old files. Locks and bound sockets remain, but without a name.
"""

from __future__ import annotations

import socket
import stat
import sys
from pathlib import Path

import filelock

from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import EndpointError
from zmqruntime.transport.process.lock_file import acquire_lock
from zmqruntime.transport.process.private_dirs import make_private_dir

__all__ = ["IpcFiles", "PathInUse", "has_listener", "read_file_id"]

_FileId = tuple[int, int]


class PathInUse(Exception):
    """Another process holds the lock of a port, or listens at its path."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is in use")
        self.port = port


class IpcFiles:
    """The files of one server.

    libzmq removes any file at a path before it binds. So a lock decides which server has a port,
    and a path is bound only if no process listens there.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._locks: dict[Path, filelock.BaseFileLock] = {}
        self._files: dict[Path, _FileId] = {}

    def acquire(self) -> list[Path]:
        """Acquire the locks that are not held, and return the socket paths to bind.

        Raises:
            PathInUse: another process serves there.
            EndpointError: the directory or a path in it cannot be used.
        """
        endpoint = self._endpoint
        make_private_dir(endpoint.directory)
        to_bind: list[Path] = []
        for path, lock_path, port in zip(
            (endpoint.data_path, endpoint.control_path),
            endpoint.serve_lock_paths,
            (endpoint.port, endpoint.control_port),
            strict=True,
        ):
            if not self._owns(lock_path):
                try:
                    lock = acquire_lock(lock_path, timeout=0)
                except filelock.Timeout:
                    raise PathInUse(port) from None
                if (removed := self._locks.get(lock_path)) is not None:
                    removed.release()
                self._locks[lock_path] = lock
                self.record(lock_path)
            if not self._owns(path):
                if has_listener(path):
                    raise PathInUse(port)
                to_bind.append(path)
        return to_bind

    def record(self, path: Path) -> None:
        """Record the present file at ``path`` as this server's."""
        if (found := read_file_id(path)) is not None:
            self._files[path] = found

    def are_intact(self) -> bool:
        """Whether each file is still at its path."""
        return all(read_file_id(path) == file for path, file in self._files.items())

    def release(self) -> None:
        """Remove the socket files, as libzmq does not, and release the locks."""
        for path in self._files.keys() - self._locks.keys():
            if self._owns(path):
                path.unlink(missing_ok=True)
        for lock in self._locks.values():
            lock.release()

    def _owns(self, path: Path) -> bool:
        file = self._files.get(path)
        return file is not None and read_file_id(path) == file


def read_file_id(path: Path) -> _FileId | None:
    """Return the device and inode of a file; None: there is no file."""
    try:
        found = path.lstat()
    except OSError:  # Its directory may be missing.
        return None
    return found.st_dev, found.st_ino


def has_listener(path: Path) -> bool:
    """Whether a process listens on the socket file ``path``.

    Raises:
        EndpointError: another type of file is there.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(mode):
        raise EndpointError(f"{path} exists and is no socket: move it, or set runtime_dir")
    if sys.platform == "win32":  # `resolve_endpoint` returns no ipc endpoint there.
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            probe.connect(str(path))
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    except BlockingIOError:
        return True  # A server listens, and its backlog is full.
    except OSError as error:
        raise EndpointError(f"{path} cannot be probed for a server: {error}") from error
    return True
