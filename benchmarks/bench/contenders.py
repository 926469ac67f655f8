"""The measured systems and their drivers; a driver is imported where its system is installed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from bench.contender import Contender

__all__ = ["JOURNAL", "LIMIT", "PEERS", "PROJECT", "SERVERLESS", "find_driver", "running"]

LIMIT, PROJECT, JOURNAL = "limit", "zmqruntime", "zmqruntime+journal"

_OWN = {
    LIMIT: "limit:Limit",
    PROJECT: "project:InMemory",
    JOURNAL: "project:WithJournal",
}

PEERS = {
    "process-pool": "process_pool:ProcessPool",
    "dask": "dask_distributed:Dask",
    "ray": "ray_core:Ray",
    "ipyparallel": "ipyparallel_cluster:IPyParallel",
    "celery": "celery_redis:Celery",
    "rq": "rq_redis:RQ",
    "huey": "huey_sqlite:Huey",
    "zmqruntime-0.6.5": "other_zmqruntime:OtherZMQRuntime",
}
"""Other job runtimes, each in an environment of its own."""

SERVERLESS = {"process-pool"}
"""Peers without a server, which end with their client."""


def find_driver(name: str) -> type[Contender]:
    """Return the driver of a contender, which may be given as ``module:Class``."""
    target = (_OWN | PEERS).get(name)
    module, _, attribute = (
        f"bench.drivers.{target}".partition(":") if target else name.partition(":")
    )
    driver: type[Contender] = getattr(import_module(module), attribute)
    return driver


@contextmanager
def running(driver: type[Contender]) -> Iterator[Contender]:
    """Start a contender in a new directory; stop it and remove the directory at the end."""
    place = Path(tempfile.mkdtemp(prefix="zb"))
    contender = driver(place)
    try:
        contender.start()
        try:
            yield contender
        finally:
            contender.stop()
    finally:
        shutil.rmtree(place, ignore_errors=True)
