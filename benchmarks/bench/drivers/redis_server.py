"""A Redis of one's own: on loopback, on a free port, in memory."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import redis

from bench.contender import Unable
from bench.drivers.owned import OwnedProcesses, wait_until

__all__ = ["start_redis", "url_of"]


def start_redis(owned: OwnedProcesses, place: Path) -> redis.Redis:
    """Start a Redis server, and return a client of it, which knows its address.

    Raises:
        Unable: it is not installed.
    """
    program = shutil.which("redis-server")
    if program is None:
        raise Unable("redis-server is not installed: run `apt-get install redis-server`")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    owned.start(
        [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(place)]
    )
    client = redis.Redis(host="127.0.0.1", port=port)

    def answers() -> bool:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False

    wait_until(answers, "Redis answers")
    return client


def url_of(client: redis.Redis) -> str:
    """Return where a client's Redis is."""
    place = client.connection_pool.connection_kwargs
    return f"redis://{place['host']}:{place['port']}/0"
