"""Events travel together to those who have asked for that, and to nobody else."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

import pytest
import zmq
from places import Place
from waiting import PATIENCE, eventually
from wire import Wire

from zmqruntime.execution import ExecutionClient
from zmqruntime.messages import ProgressEvent, StateEvent
from zmqruntime.testing import FaultProxy, Lane

FLOOD = 15_000  # Fewer than may wait for one who is slow: none is dropped.
LAST = FLOOD + 3  # queued, running, and complete
TERMINAL = ("complete", "cancelled")


class Ear:
    """A bare SUB socket that notes what comes, and in messages of how many events."""

    def __init__(self, wire: Wire, prefix: str = "") -> None:
        self.wire = wire
        self.numbers: defaultdict[str, list[int]] = defaultdict(list)
        self.ended: set[str] = set()
        self.sizes: list[int] = []
        """How many events there were in each message; 0: one that was no array."""
        self.saw_array = threading.Event()
        wire.data.rcvhwm = 0
        wire.data.subscribe(prefix)

    def connect(self) -> Ear:
        self.wire.data.connect(self.wire.endpoint.data_address)
        return self

    def register(self, client_id: str, *, takes_arrays: bool = False) -> Ear:
        self.wire.data.subscribe(f"{client_id}/")
        if takes_arrays:
            for prefix in ("", f"{client_id}/"):
                self.wire.data.subscribe(f"~{prefix}")
        self.connect()
        reply = self.wire.request("register_progress", client_id=client_id, scope="all")
        assert reply["type"] == "ok"
        return self

    def hear(self) -> None:
        """Take one message."""
        _, frame = self.wire.data.recv_multipart()
        told = json.loads(frame)
        self.sizes.append(len(told) if isinstance(told, list) else 0)
        if self.sizes[-1]:
            self.saw_array.set()
        for event in told if isinstance(told, list) else [told]:
            name = event["execution_id"]
            self.numbers[name].append(event["sequence"])
            if event.get("status") in TERMINAL:
                self.ended.add(name)

    def hear_all_of(self, execution_id: str) -> list[int]:
        while execution_id not in self.ended:
            self.hear()
        return self.numbers[execution_id]


class Told:
    """What a client's callback was told."""

    def __init__(self) -> None:
        self.numbers: defaultdict[str, list[int]] = defaultdict(list)

    def __call__(self, event: ProgressEvent | StateEvent) -> None:
        self.numbers[event.execution_id].append(event.sequence)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def client(either_place: Place, told: Told) -> ExecutionClient:
    return either_place.client("Workshop", progress_callback=told)


@pytest.fixture
def wires(client: ExecutionClient) -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def flood(client: ExecutionClient, steps: int = FLOOD) -> str:
    handle = client.submit_execution({"do": "count", "steps": steps})
    assert handle.result(PATIENCE) == steps
    return handle.execution_id


def test_a_flood_comes_in_arrays_complete_and_in_order(
    client: ExecutionClient, told: Told, wires: contextlib.ExitStack
) -> None:
    ear = Ear(wires.enter_context(Wire(client.endpoint)))
    ear.register("ear", takes_arrays=True)
    name = flood(client)
    assert ear.hear_all_of(name) == list(range(1, LAST + 1))
    assert 2 <= max(ear.sizes) <= 8
    assert len(ear.sizes) < FLOOD
    assert 1 not in ear.sizes
    eventually(lambda: len(told.numbers[name]) >= LAST, "the callback has had them all")
    assert told.numbers[name] == list(range(1, LAST + 1))


def test_who_never_asked_gets_objects_alone_and_so_does_everybody_while_he_is_there(
    client: ExecutionClient, told: Told, wires: contextlib.ExitStack
) -> None:
    ear = Ear(wires.enter_context(Wire(client.endpoint)))
    ear.register("ear", takes_arrays=True)
    with Wire(client.endpoint) as wire:
        plain = Ear(wire).connect()
        wire.data.rcvtimeo = 50
        while not plain.sizes:  # Until he is there.
            ear.hear_all_of(flood(client, 1))
            with contextlib.suppress(zmq.Again):
                plain.hear()
        ear.sizes.clear()
        wire.data.rcvtimeo = int(PATIENCE * 1000)
        name = flood(client)
        assert plain.hear_all_of(name) == list(range(1, LAST + 1))
        assert set(plain.sizes) == {0}
        assert ear.hear_all_of(name) == list(range(1, LAST + 1))
        assert set(ear.sizes) == {0}

    def arrays_flow() -> bool:
        name = flood(client, 2000)
        assert ear.hear_all_of(name) == list(range(1, 2004))
        return max(ear.sizes) > 1

    eventually(arrays_flow, "he has left, and arrays flow again")
    eventually(lambda: len(told.numbers[name]) >= LAST, "the callback has had them all")
    for numbers in told.numbers.values():
        assert numbers == list(range(1, len(numbers) + 1))


def test_one_who_comes_and_goes_in_a_flood_gets_no_array_and_nobody_gets_anything_twice(
    client: ExecutionClient, told: Told, wires: contextlib.ExitStack
) -> None:
    ear = Ear(wires.enter_context(Wire(client.endpoint)))
    ear.register("ear", takes_arrays=True)
    handle = client.submit_execution({"do": "count", "steps": 10_000_000})
    name = handle.execution_id
    hearing = threading.Thread(target=ear.hear_all_of, args=(name,))
    hearing.start()
    for _ in range(100):
        ear.saw_array.clear()
        assert ear.saw_array.wait(PATIENCE), "arrays flow before he comes"
        with Wire(client.endpoint) as wire:
            guest = Ear(wire).connect()
            while len(guest.sizes) < 10:
                guest.hear()
            numbers = guest.numbers[name]
            assert numbers == list(range(numbers[0], numbers[-1] + 1))
            assert not any(guest.sizes)
    handle.cancel()
    hearing.join(PATIENCE)
    assert not hearing.is_alive()
    assert 0 in ear.sizes
    last = ear.numbers[name][-1]
    eventually(lambda: told.numbers[name][-1:] == [last], "the callback has had the last")
    # Who falls far behind in so long a flood misses some: one event for each message is slower.
    for numbers in (ear.numbers[name], told.numbers[name]):
        assert all(one < other for one, other in pairwise(numbers))


def test_behind_a_fault_proxy_the_connection_may_be_cut_within_an_array(
    either_place: Place, client: ExecutionClient, wires: contextlib.ExitStack
) -> None:
    proxy = wires.enter_context(FaultProxy(either_place))
    heard = Told()
    behind = either_place.client(
        port=proxy.endpoint.port, config=proxy.config, progress_callback=heard
    )
    for sequence in range(1000, 1003):  # One of them, at least, is not the last of its array.
        proxy.cut_at(Lane.EVENTS, sequence=sequence, restore_after=0.0)
        numbers = heard.numbers[flood(behind, 2000)]
        eventually(lambda n=numbers: n[-1:] == [2003], "it comes back, and hears of the end")  # type: ignore[misc]
        assert all(one < other for one, other in pairwise(numbers))
    behind.disconnect()


def test_behind_a_fault_proxy_a_fault_is_for_one_event_of_an_array(
    either_place: Place, client: ExecutionClient, wires: contextlib.ExitStack
) -> None:
    proxy = wires.enter_context(FaultProxy(either_place))
    ear = Ear(wires.enter_context(Wire(proxy.endpoint)))
    ear.register("ear", takes_arrays=True)
    direct = Ear(wires.enter_context(Wire(client.endpoint)))
    direct.register("direct", takes_arrays=True)
    wanted = [FLOOD - n for n in range(16)]
    for sequence in wanted:
        proxy.drop(Lane.EVENTS, sequence=sequence)
    name = flood(client)
    direct.hear_all_of(name)
    assert max(direct.sizes) > 1
    assert set(range(1, LAST + 1)).difference(ear.hear_all_of(name)) == set(wanted)
    assert set(ear.sizes) == {0}
