"""Rotation of a log file that several processes append to.

The standard `logging.handlers.RotatingFileHandler` renames the file. The stdout and stderr of a
launched server, of its worker and of their children lead into the same file: they would follow it
under its new name and fill that without a bound, and Windows renames no file that is open. So the
file is copied and truncated in place (``copytruncate`` of logrotate(8)); whatever appends to it
goes on at its new end.
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
"""The size, in bytes, from which on a log file is rotated. The server's loop waits for its copy,
about 1 ms per MiB: that is why it is not larger."""

ROTATED_LOG_FILES: Final = 5
"""How many older files are kept: ``NAME.1``, the newest, to ``NAME.5``."""

_REMEDY: Final = (
    "Set log_file_path to a file in a directory on a local disk in which this user can write"
)


def rotate_log_file(
    path: Path, max_bytes: int = MAX_LOG_FILE_BYTES, backups: int = ROTATED_LOG_FILES
) -> bool:
    """Move the content of a file longer than ``max_bytes`` to ``NAME.1``, and that to ``NAME.2``.

    Of a file that is longer than twice that, the newest ``max_bytes`` are kept. What is appended
    between the copy and the truncation, some microseconds, is lost.

    Returns:
        Whether it was rotated: not when it is short, no regular file, or when another process is
        rotating it.

    Raises:
        OSError: a copy cannot be written, for instance since the disk is full.
        EndpointError: the lock beside the file cannot be taken, for instance since this user cannot
            write in its directory.
    """
    if not _is_longer(path, max_bytes):
        return False
    # Not above: a worker imports this module, and rotates nothing.
    import filelock

    from zmqruntime.transport.process.lock_file import take_lock

    try:
        lock = take_lock(path.with_name(f"{path.name}.lock"), 0, remedy=_REMEDY)
    except filelock.Timeout:
        return False
    try:
        if not _is_longer(path, max_bytes):
            return False  # Another process was faster.
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
            content = content[content.find(b"\n") + 1 :]  # Whole lines, if there are any.
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
