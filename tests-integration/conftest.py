"""Fixtures of tests with real processes, sockets and signals: each test has a place of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq
from places import Connect, Place

from zmqruntime.execution import ExecutionClient
from zmqruntime.transport import TransportMode

TRANSPORTS = [mode for mode in TransportMode if mode is TransportMode.TCP or zmq.has("ipc")]


@pytest.fixture
def make_place() -> Iterator[Callable[..., Place]]:
    """Make places with these settings."""
    places: list[Place] = []

    def make(**settings: Any) -> Place:
        places.append(Place(**settings))
        return places[-1]

    yield make
    for place in places:
        place.close()


@pytest.fixture
def place(make_place: Callable[..., Place]) -> Place:
    """A place with the platform's default transport."""
    return make_place()


@pytest.fixture(params=TRANSPORTS)
def either_place(request: pytest.FixtureRequest, make_place: Callable[..., Place]) -> Place:
    """A place for each transport of the platform."""
    return make_place(transport=request.param)


@pytest.fixture(scope="module")
def workshop() -> Iterator[Place]:
    """A place whose server several tests share; each has to leave it idle."""
    place = Place()
    place.client("Workshop")
    yield place
    place.close()


@pytest.fixture
def connect(workshop: Place) -> Iterator[Connect]:
    """Connect clients to the shared server; it has to be the same and idle afterwards."""
    with contextlib.ExitStack() as clients:

        def connect(**kwargs: Any) -> ExecutionClient:
            return clients.enter_context(workshop.unconnected(**kwargs))

        before = connect().ping()
        yield connect
        after = connect().ping()
    assert after.process == before.process
    assert (after.ready, after.running_count, after.queued_count) == (True, 0, 0)


@pytest.fixture
def client(connect: Connect) -> ExecutionClient:
    """A client of the shared server."""
    return connect()
