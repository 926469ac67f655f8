"""Notes which of its tasks a worker has begun, in memory that its server shares.

The server reads it when the worker has ended: an assigned task that the worker had not begun goes
back to the queue. A message for each task would say the same, and cost a part of a short one.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys

__all__ = ["BegunTasks"]

_MODULUS = 256  # One byte is enough: tasks are assigned one at a time.


class BegunTasks:
    """The number of the task that one worker has begun last: the worker writes, its server reads.

    Args:
        name: no other worker of this machine has it.
        descriptor: the `descriptor` of the server's object; None: this is the server's.

    Raises:
        OSError: the system has no memory or no file descriptor for it.
    """

    def __init__(self, name: str, descriptor: int | None = None) -> None:
        self.descriptor = descriptor
        """The file behind the memory, for the worker to inherit; None: it is found by its name."""
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

    def note(self, number: int) -> None:
        """Note that the worker begins the task with this number, from 1."""
        self._memory[0] = number % _MODULUS

    def is_begun(self, number: int) -> bool:
        """Whether the worker has begun the task with this number, the last that it was assigned."""
        return self._memory[0] == number % _MODULUS

    def close_file(self) -> None:
        """Close the file behind the memory, which stays; the worker has inherited the file."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def _make_file(name: str) -> int:
    """Return the descriptor of a file of one byte that has no place in a directory."""
    descriptor = None
    if hasattr(os, "memfd_create"):
        with contextlib.suppress(OSError):  # A kernel before 3.17 has none.
            descriptor = os.memfd_create(name)
    if descriptor is None:
        import tempfile  # Not above: it takes long, and Linux needs none.

        with tempfile.TemporaryFile(buffering=0) as file:
            descriptor = os.dup(file.fileno())
    try:
        os.truncate(descriptor, 1)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
