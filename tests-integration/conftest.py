"""Real processes, real sockets, real signals: each test has a place of its own, and leaves none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq
from places import Place

from zmqruntime.execution import ExecutionClient
from zmqruntime.transport import TransportMode

TRANSPORTS = [mode for mode in TransportMode if mode is TransportMode.TCP or zmq.has("ipc")]


@pytest.fixture
def make_place() -> Iterator[Callable[..., Place]]:
    """Makes places with settings of their own."""
    places: list[Place] = []

    def make(**settings: Any) -> Place:
        places.append(Place(**settings))
        return places[-1]

    yield make
    for place in places:
        place.close()


@pytest.fixture
def place(make_place: Callable[..., Place]) -> Place:
    """A place, by the platform's own transport."""
    return make_place()


@pytest.fixture(params=TRANSPORTS)
def either_place(request: pytest.FixtureRequest, make_place: Callable[..., Place]) -> Place:
    """A place for each transport of the platform."""
    return make_place(transport=request.param)


@pytest.fixture(scope="module")
def workshop() -> Iterator[Place]:
    """A place with a server in it that several tests share; each has to leave it idle."""
    place = Place()
    place.client("Workshop")
    yield place
    place.close()


@pytest.fixture
def client(workshop: Place) -> Iterator[ExecutionClient]:
    """A client of the shared server, which is found as it was and idle afterwards."""
    with workshop.unconnected() as client:
        before = client.ping()
        yield client
        after = client.ping()
    assert (after.running_count, after.queued_count) == (0, 0)
    assert after.process == before.process
    assert after.ready
