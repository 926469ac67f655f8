"""A file lock between processes of one user, in a private directory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import filelock

from zmqruntime.transport.errors import EndpointError, UnsafePath
from zmqruntime.transport.process.private_files import open_private

__all__ = ["acquire_lock"]


def acquire_lock(
    path: Path,
    timeout: float,
    *,
    cancelled: Callable[[], bool] | None = None,
    remedy: str = "Set runtime_dir to a directory on a local disk",
) -> filelock.BaseFileLock:
    """Acquire the lock at ``path``, until it is released or this process ends.

    Args:
        path: its file, created with mode 0600 if it is missing, and never removed.
        timeout: how long to wait for another holder, in seconds; -1: no limit.
        cancelled: checked while it waits; True ends the wait as the timeout does.
        remedy: the end of the error message: the setting to change.

    Raises:
        filelock.Timeout: another holder has it after that time.
        EndpointError: the file cannot be opened or locked; `UnsafePath` if another user may have
            created it.
    """
    lock = filelock.FileLock(path, mode=0o600, thread_local=False)
    try:
        # Created here with its mode: filelock would apply the umask.
        os.close(open_private(path, write=True, create=True))
        lock.acquire(timeout=timeout, cancel_check=cancelled)
    except (UnsafePath, filelock.Timeout):
        raise
    except (
        OSError,
        NotImplementedError,
    ) as error:  # The latter: no file locks.
        raise EndpointError(f"the lock file {path} cannot be locked: {error}. {remedy}") from error
    return lock
