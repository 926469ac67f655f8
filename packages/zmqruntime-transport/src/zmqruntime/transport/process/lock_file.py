"""A file lock between processes of one user, in a directory of that user's own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import filelock

from zmqruntime.transport.errors import EndpointError, UnsafePath
from zmqruntime.transport.process.private_files import open_private

__all__ = ["take_lock"]


def take_lock(
    path: Path,
    timeout: float,
    *,
    cancelled: Callable[[], bool] | None = None,
    remedy: str = "Set runtime_dir to a directory on a local disk",
) -> filelock.BaseFileLock:
    """Return the lock at ``path``, held until it is released or this process ends.

    Args:
        path: its file, which is made if it is missing, with mode 0600, and stays there.
        timeout: how long to wait for another holder, in seconds; 0: not at all; -1: no limit.
        cancelled: checked while it waits; True ends the wait as the timeout does.
        remedy: the end of the error message: which setting to change.

    Raises:
        filelock.Timeout: another holder has had it for that time.
        EndpointError: the file cannot be opened or locked; `UnsafePath` when another user may
            have put it there.
    """
    lock = filelock.FileLock(path, mode=0o600, thread_local=False)
    try:
        # Made here, since that by filelock depends on the umask; it opens what it finds.
        os.close(open_private(path, write=True, create=True))
        lock.acquire(timeout=timeout, cancel_check=cancelled)
    except (UnsafePath, filelock.Timeout):
        raise
    except (OSError, NotImplementedError) as error:  # The latter: a file system without locks.
        raise EndpointError(f"the lock file {path} cannot be locked: {error}. {remedy}") from error
    return lock
