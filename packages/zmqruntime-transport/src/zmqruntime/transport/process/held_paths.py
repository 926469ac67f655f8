"""The lock and socket files of a server on ipc: taken, compared with what is there, taken again.

A directory may be removed under a running server, with the session of its user or by a program
that removes what is old. What is locked and bound stays so, but by names that are gone.
"""

from __future__ import annotations

import socket
import stat
import sys
from pathlib import Path

import filelock

from zmqruntime.transport.endpoint import Endpoint
from zmqruntime.transport.errors import EndpointError
from zmqruntime.transport.process.lock_file import take_lock
from zmqruntime.transport.process.runtime_dir import make_private_dir

__all__ = ["HeldPaths", "PathInUse", "has_listener", "identify"]

_Identity = tuple[int, int]


class PathInUse(Exception):
    """Another process holds the lock of a port, or listens on its path."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is in use")
        self.port = port


class HeldPaths:
    """The files of one server. libzmq removes whatever lies at a path before it binds.

    So a lock says which server has a port, and its path is used only when no process listens.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._locks: dict[Path, filelock.BaseFileLock] = {}
        self._held: dict[Path, _Identity] = {}

    def take(self) -> list[Path]:
        """Lock what is not locked, and return the socket paths that are to be bound.

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
            if not self._has(lock_path):
                try:
                    lock = take_lock(lock_path, timeout=0)
                except filelock.Timeout:
                    raise PathInUse(port) from None
                if (before := self._locks.get(lock_path)) is not None:
                    before.release()
                self._locks[lock_path] = lock
                self.note(lock_path)
            if not self._has(path):
                if has_listener(path):
                    raise PathInUse(port)
                to_bind.append(path)
        return to_bind

    def note(self, path: Path) -> None:
        """Note that the file that is at ``path`` now is this server's."""
        if (found := identify(path)) is not None:
            self._held[path] = found

    def are_there(self) -> bool:
        """Whether each file is still at its path."""
        return all(identify(path) == held for path, held in self._held.items())

    def release(self) -> None:
        """Remove the socket files, which libzmq leaves, and release the locks."""
        for path in self._held.keys() - self._locks.keys():
            if self._has(path):
                path.unlink(missing_ok=True)
        for lock in self._locks.values():
            lock.release()

    def _has(self, path: Path) -> bool:
        held = self._held.get(path)
        return held is not None and identify(path) == held


def identify(path: Path) -> _Identity | None:
    """Return what tells a file from the next one at its path; None: there is no file."""
    try:
        found = path.lstat()
    except OSError:  # Its directory, for one, is missing.
        return None
    return found.st_dev, found.st_ino


def has_listener(path: Path) -> bool:
    """Whether a process listens on the socket file ``path``.

    Raises:
        EndpointError: something other than a socket is there.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(mode):
        raise EndpointError(f"{path} is in the way and is no socket: move it, or set runtime_dir")
    if sys.platform == "win32":  # `resolve_endpoint` gives no ipc endpoint there.
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            probe.connect(str(path))
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    except BlockingIOError:
        return True  # A server listens, and is too busy to take one more connection.
    except OSError as error:
        raise EndpointError(f"{path} cannot be looked at: {error}") from error
    return True
