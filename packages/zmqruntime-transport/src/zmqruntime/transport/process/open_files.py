"""Ensures free file descriptors before libzmq needs them; maps errors of the limit."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Iterator
from typing import Final

import zmq

from zmqruntime.transport.errors import TooManyOpenFiles
from zmqruntime.transport.process.file_limit import raise_file_limit, read_file_limit

__all__ = ["naming_file_limit", "require_files"]

_log = logging.getLogger("zmqruntime.client")

# libzmq also uses EMFILE for its own limit of sockets (ZMQ_MAX_SOCKETS).
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE})


def require_files(count: int, purpose: str) -> None:
    """Ensure that files are free: libzmq may abort the process without them.

    The soft limit of this process is raised to the hard one only if it is needed: an application
    may have set it for a reason, such as select(2).

    Args:
        count: the number of files.
        purpose: their purpose, for the error.

    Raises:
        TooManyOpenFiles: fewer files are free.
    """
    if _are_free(count):
        return
    before = read_file_limit()
    raise_file_limit()
    if (limit := read_file_limit()) != before:
        _log.info("the limit of open files is raised from %s to %s for %s", before, limit, purpose)
    if not _are_free(count):
        raise _exhausted(purpose)


@contextlib.contextmanager
def naming_file_limit(purpose: str) -> Iterator[None]:
    """Raise TooManyOpenFiles in place of an error of the limit of files or libzmq sockets."""
    try:
        yield
    except (zmq.ZMQError, OSError) as error:
        if error.errno not in _EXHAUSTED:
            raise
        raise _exhausted(purpose) from error


def _are_free(count: int) -> bool:
    if (limit := read_file_limit()) is None:
        return True
    try:
        lowest_free = os.open(os.devnull, os.O_RDONLY)
    except OSError as error:
        if error.errno in _EXHAUSTED:
            return False
        raise
    os.close(lowest_free)
    return lowest_free + count <= limit


def _exhausted(purpose: str) -> TooManyOpenFiles:
    return TooManyOpenFiles(
        f"no file is left for {purpose}: this process may have {read_file_limit()} open "
        "(RLIMIT_NOFILE, raised to its hard limit); wait in fewer threads at a time, disconnect "
        "clients that are not needed, or raise the limit (ulimit -Hn)"
    )
