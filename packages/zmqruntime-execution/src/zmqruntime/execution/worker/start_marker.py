"""Shared-memory marker of the task that a worker has started last.

The server reads it when the worker has exited: an assigned task that was not started goes back to
the queue. A message per task would cost a noticeable part of a short task.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys

__all__ = ["StartMarker"]

_MODULUS = 256  # One byte is enough: tasks are assigned one at a time.


class StartMarker:
    """The number of the last started task of one worker: written by the worker, read by its server.

    Args:
        name: unique on this machine.
        descriptor: the `descriptor` of the server's marker; None: this is the server's.

    Raises:
        OSError: no memory or no file descriptor is left.
    """

    def __init__(self, name: str, descriptor: int | None = None) -> None:
        self.descriptor = descriptor
        """The file behind the memory, inherited by the worker; None: it is opened by its name."""
        if sys.platform == "win32":
            self._memory = mmap.mmap(-1, 1, tagname=name)
            return
        if descriptor is None:
            self.descriptor = descriptor = _make_file(name)
        try:
            self._memory = mmap.mmap(descriptor, 1)
        except BaseException:
            self.close_file()
            raise

    def mark_started(self, number: int) -> None:
        """Store that the task with this number, counted from 1, is started."""
        self._memory[0] = number % _MODULUS

    def is_started(self, number: int) -> bool:
        """Whether the task with this number, the last assigned one, was started."""
        return self._memory[0] == number % _MODULUS

    def close_file(self) -> None:
        """Close the file descriptor; the memory stays mapped, in the worker as well."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def _make_file(name: str) -> int:
    """Return the descriptor of an anonymous file of one byte."""
    descriptor = None
    if hasattr(os, "memfd_create"):
        with contextlib.suppress(OSError):  # Linux before 3.17
            descriptor = os.memfd_create(name)
    if descriptor is None:
        import tempfile  # Not above: a slow import that Linux does not need.

        with tempfile.TemporaryFile(buffering=0) as file:
            descriptor = os.dup(file.fileno())
    try:
        os.truncate(descriptor, 1)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
