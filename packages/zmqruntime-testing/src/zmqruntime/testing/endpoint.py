"""A place of its own for a test's servers and clients: a directory, and ports to try."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zmqruntime.transport import Endpoint, TransportMode, ZMQConfig

__all__ = ["candidate_ports", "isolated_config", "locate"]

# Below the ports that systems hand out by themselves, with and without the usual offset.
_PORTS = range(20_000, 30_000)
_TRIES = 50

# What a socket file's name and its directory's need of the 103 bytes that the shortest limit is.
_ROOM_BYTES = 50

# Seeding the tests' randomness, as plugins do, must not send two test runs to one port.
_random = random.SystemRandom()


@contextlib.contextmanager
def isolated_config(*, log_dir: Path | None = None) -> Iterator[ZMQConfig]:
    """Yield a configuration that no other test, user or application shares.

    Its runtime directory is private, removed at the end, and has so short a path that socket
    files fit also where pytest's own directories are deep. Its port is a random one: over ipc
    the directory isolates any number; for tcp, a `ServerFactory` tries others when it is held.

    Args:
        log_dir: where launched servers write their logs; None: below the runtime directory.
    """
    directory = Path(tempfile.mkdtemp(prefix="zr-", dir=_short_base()))
    try:
        yield ZMQConfig(
            default_port=_random.choice(_PORTS),
            runtime_dir=directory,
            log_dir=log_dir or directory / "log",
        )
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def candidate_ports() -> Iterator[int]:
    """Yield port numbers to try, one after another, until a server has bound one.

    Nothing is bound and released to find them, so nobody can take one in between.
    """
    yield from _random.sample(_PORTS, _TRIES)


def locate(endpoint: Endpoint) -> dict[str, Any]:
    """Return the arguments by which a client finds a server there."""
    if endpoint.transport_mode is TransportMode.IPC:
        return {"port": endpoint.port, "transport_mode": endpoint.transport_mode}
    return {"port": endpoint.port, "host": endpoint.host}


def _short_base() -> str:
    base = tempfile.gettempdir()
    if os.name == "posix" and len(os.fsencode(base)) > _ROOM_BYTES:
        return "/tmp"
    return base
