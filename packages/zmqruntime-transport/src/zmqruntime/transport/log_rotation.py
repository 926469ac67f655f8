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

__all__ = ["MAX_LOG_FILE_BYTES", "ROTATED_LOG_FILES", "open_log_file", "rotate_log_file"]

MAX_LOG_FILE_BYTES: Final = 4 * 1024 * 1024
"""The size, in bytes, from which on a log file is rotated. Its copy takes the server's loop about
1 ms per MiB, which bounds this."""

ROTATED_LOG_FILES: Final = 3
"""How many older files are kept: ``NAME.1``, the newest, to ``NAME.3``."""

_PRIVATE = 0o600


def open_log_file(path: str | Path, flags: int) -> int:
    """Open or create a log file that only its owner can read, whatever the umask.

    Returns:
        A file descriptor; on Windows of a file in the mode that ``flags`` names.

    Raises:
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, flags, _PRIVATE)
    try:
        _make_private(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


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
    """
    if not _is_longer(path, max_bytes):
        return False
    import filelock  # Not above: a worker imports this module, and rotates nothing.

    lock = filelock.FileLock(f"{path}.lock", mode=_PRIVATE, thread_local=False)
    try:
        lock.acquire(timeout=0)
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
    with path.open("r+b") as log:
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
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            with os.fdopen(open_log_file(names[0], flags), "wb") as copy:
                copy.write(content)
        log.truncate(0)


def _is_longer(path: Path, max_bytes: int) -> bool:
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size > max_bytes


def _make_private(descriptor: int) -> None:
    """Correct the mode of a file of ours that an older version, or a umask, made different."""
    if not hasattr(os, "geteuid"):
        return  # Windows: a profile's files are its user's own.
    found = os.fstat(descriptor)
    is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
    if is_ours and stat.S_IMODE(found.st_mode) != _PRIVATE:
        os.fchmod(descriptor, _PRIVATE)
