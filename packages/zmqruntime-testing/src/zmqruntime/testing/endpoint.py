"""Isolated configurations for tests: private runtime directories and random ports."""

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

__all__ = ["HasEndpoint", "candidate_ports", "client_arguments", "isolated_config"]

# Below the ephemeral ports of common systems, also after adding the control port offset.
_PORTS = range(20_000, 30_000)
_MAX_CANDIDATES = 50

# The smallest sun_path limit of the supported systems, and the bytes that a file name needs.
_PATH_BYTES = 103
_NAME_BYTES = 38

# Plugins seed the global generator, which would give parallel test runs the same ports.
_random = random.SystemRandom()


class HasEndpoint(Protocol):
    """An object that clients can connect to: a server, a fake on sockets, a proxy."""

    @property
    def endpoint(self) -> Endpoint:
        """The address that clients connect to."""

    @property
    def config(self) -> ZMQConfig:
        """The configuration that it shares with its clients."""


@contextlib.contextmanager
def isolated_config(directory: Path | None = None) -> Iterator[ZMQConfig]:
    """Yield a configuration that is isolated from other tests, users and applications.

    Its runtime directory is private, and removed at the end. It is in ``directory``, or in the
    system's temporary directory if a socket path in ``directory`` would exceed the limit of the
    system. Its port is random: for ipc the directory isolates it; for tcp, a `ServerFactory` tries
    other ports if it is in use.

    Args:
        directory: for its files, such as ``tmp_path``; logs of launched servers stay there. None
            for the runtime directory, where logs are removed with it.
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
    """Yield random port numbers for a server to try to bind.

    They are not probed by binding: another process could take the port after the release.
    """
    yield from _random.sample(_PORTS, _MAX_CANDIDATES)


def client_arguments(endpoint: Endpoint) -> dict[str, Any]:
    """Return the client arguments that select this endpoint."""
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
    """Whether the path of a socket file in it is within the limit of the system."""
    return os.name != "posix" or len(os.fsencode(directory)) + _NAME_BYTES <= _PATH_BYTES
