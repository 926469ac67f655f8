"""Rotation of a log file that several processes append to.

The standard `logging.handlers.RotatingFileHandler` renames the file. But the stdout and stderr of a
launched server, its worker and their children have the same file open: they would go on to fill the
renamed one, without a bound; and Windows does not rename an open file. So the file is copied and
truncated in place, as by ``copytruncate`` of logrotate(8).
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

from zmqruntime.transport.process.private_files import open_private

__all__ = ["MAX_LOG_FILE_BYTES", "ROTATED_LOG_FILES", "rotate_log_file"]

MAX_LOG_FILE_BYTES: Final = 2 * 1024 * 1024
"""The size, in bytes, above which a log file is rotated. The copy blocks the server's loop for
about 1 ms per MiB."""

ROTATED_LOG_FILES: Final = 5
"""The number of older files: ``NAME.1``, the newest, to ``NAME.5``."""

_REMEDY: Final = (
    "Set log_file_path to a file in a directory on a local disk in which this user can write"
)


def rotate_log_file(
    path: Path, max_bytes: int = MAX_LOG_FILE_BYTES, backups: int = ROTATED_LOG_FILES
) -> bool:
    """Move the content of a file longer than ``max_bytes`` to ``NAME.1``, and that to ``NAME.2``.

    Of a file longer than twice that, the newest ``max_bytes`` are kept. Output in the microseconds
    between the copy and the truncation is lost.

    Returns:
        whether it was rotated; False: it is short, no regular file, or another process rotates it.

    Raises:
        OSError: the copy cannot be written, as on a full disk.
        EndpointError: the lock beside the file cannot be acquired, as in a directory in which this
            user cannot write.
    """
    if not _is_longer(path, max_bytes):
        return False
    # Not above: a worker imports this module, and never rotates.
    import filelock

    from zmqruntime.transport.process.lock_file import acquire_lock

    try:
        lock = acquire_lock(path.with_name(f"{path.name}.lock"), 0, remedy=_REMEDY)
    except filelock.Timeout:
        return False
    try:
        if not _is_longer(path, max_bytes):
            return False  # Another process has rotated it.
        _rotate(path, max_bytes, backups)
    finally:
        lock.release()
    return True


def _rotate(path: Path, max_bytes: int, backups: int) -> None:
    with os.fdopen(open_private(path, write=True), "r+b") as log:
        size = log.seek(0, os.SEEK_END)
        start = size - max_bytes if size > 2 * max_bytes else 0
        log.seek(start)
        content = log.read()
        if start:
            content = content[content.find(b"\n") + 1 :]  # From the first complete line.
        if backups:
            names = [path.with_name(f"{path.name}.{number}") for number in range(1, backups + 1)]
            for older, newer in zip(names[:0:-1], names[-2::-1], strict=True):
                with contextlib.suppress(FileNotFoundError):
                    newer.replace(older)
            names[0].unlink(missing_ok=True)
            with os.fdopen(open_private(names[0], write=True, create=True), "wb") as copy:
                copy.write(content)
        log.truncate(0)


def _is_longer(path: Path, max_bytes: int) -> bool:
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size > max_bytes
