"""Where a test's servers are, and a place of their own for them: a directory, and ports to try."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from zmqruntime.transport import Endpoint, TransportMode, ZMQConfig

__all__ = ["HasEndpoint", "candidate_ports", "isolated_config", "locate"]

# Below the ports that systems hand out by themselves, with and without the usual offset.
_PORTS = range(20_000, 30_000)
_TRIES = 50

# The shortest limit of a socket's path, and what a file's name needs of it.
_PATH_BYTES = 103
_NAME_BYTES = 38

# Seeding the tests' randomness, as plugins do, must not send two test runs to one port.
_random = random.SystemRandom()


class HasEndpoint(Protocol):
    """What clients can connect to: a server, a fake on sockets, a proxy."""

    @property
    def endpoint(self) -> Endpoint:
        """Where it is."""

    @property
    def config(self) -> ZMQConfig:
        """The settings that it shares with its clients."""


@contextlib.contextmanager
def isolated_config(directory: Path | None = None) -> Iterator[ZMQConfig]:
    """Yield a configuration that no other test, user or application shares.

    Its runtime directory is private, and removed at the end. It is in ``directory``, unless the
    path of a socket there would be longer than systems take, as where pytest's own directories
    are deep: then it is one with a short name among the system's temporary ones. Its port is a
    random one: over ipc the directory isolates any number; for tcp, a `ServerFactory` tries others
    when it is held.

    Args:
        directory: where its files go, such as ``tmp_path``; logs of launched servers stay there.
            None: in the runtime directory, and with it.
    """
    runtime_dir = _make_runtime_dir(directory)
    try:
        yield ZMQConfig(
            default_port=_random.choice(_PORTS),
            runtime_dir=runtime_dir,
            log_dir=(directory / "zmqruntime-log") if directory else (runtime_dir / "log"),
        )
    finally:
        shutil.rmtree(runtime_dir, ignore_errors=True)


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


def _make_runtime_dir(directory: Path | None) -> Path:
    if directory is not None and _fits(inside := directory / "zr"):
        inside.mkdir(mode=0o700)
        return inside
    base = Path(tempfile.gettempdir())
    return Path(tempfile.mkdtemp(prefix="zr-", dir=base if _fits(base / "zr-12345678") else "/tmp"))


def _fits(directory: Path) -> bool:
    """Whether socket files in it have paths that systems take."""
    return os.name != "posix" or len(os.fsencode(directory)) + _NAME_BYTES <= _PATH_BYTES
