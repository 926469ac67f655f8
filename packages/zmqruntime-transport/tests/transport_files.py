"""File modes, users, pipes and planted files for the tests of files."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

US, STRANGER = 1000, 65534

posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has no owners and modes")
root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can act as another user"
)


def found(mode: int, *, owner: int = US, group: int = 54321, links: int = 1) -> os.stat_result:
    return os.stat_result((mode, 1, 1, links, owner, group, 0, 0, 0, 0))


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[int]:
    """Make a named pipe and read it."""
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield reader
    finally:
        os.close(reader)


def plant_link(path: Path, target: Path) -> None:
    path.symlink_to(target)


def plant_hard_link(path: Path, target: Path) -> None:
    path.hardlink_to(target)


def plant_writable_file(path: Path, target: Path) -> None:
    path.write_bytes(target.read_bytes())
    path.chmod(0o666)


def plant_pipe(path: Path, _: Path) -> None:
    os.mkfifo(path)


def plant_socket(path: Path, _: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


def plant_directory(path: Path, _: Path) -> None:
    path.mkdir()
