"""A Redis server on loopback, on a free port, in memory."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import redis

from bench.contender import Unsupported
from bench.drivers.process_group import ProcessGroup, wait_until

__all__ = ["start_redis", "url_of"]


def start_redis(group: ProcessGroup, place: Path) -> redis.Redis:
    """Start a Redis server, and return a client of it.

    Raises:
        Unsupported: Redis is not installed.
    """
    program = shutil.which("redis-server")
    if program is None:
        raise Unsupported("redis-server is missing: install it by `apt-get install redis-server`")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group.start(
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
    """Return the URL of a client's server."""
    place = client.connection_pool.connection_kwargs
    return f"redis://{place['host']}:{place['port']}/0"
