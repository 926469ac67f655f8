"""Arrays of events are sent only while all subscribers accept them."""

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

FLOOD = 15_000  # Below the high-water mark: none is dropped.
LAST = FLOOD + 3  # queued, running, and complete
TERMINAL = ("complete", "cancelled")


class RecordingSubscriber:
    """A bare SUB socket that records sequence numbers and the sizes of arrays."""

    def __init__(self, wire: Wire, prefix: str = "") -> None:
        self.wire = wire
        self.numbers: defaultdict[str, list[int]] = defaultdict(list)
        self.ended: set[str] = set()
        self.sizes: list[int] = []
        """The number of events in each message; 0: a single object."""
        self.saw_array = threading.Event()
        wire.data.rcvhwm = 0
        wire.data.subscribe(prefix)

    def connect(self) -> RecordingSubscriber:
        self.wire.data.connect(self.wire.endpoint.data_address)
        return self

    def register(self, client_id: str, *, takes_arrays: bool = False) -> RecordingSubscriber:
        self.wire.data.subscribe(f"{client_id}/")
        if takes_arrays:
            for prefix in ("", f"{client_id}/"):
                self.wire.data.subscribe(f"~{prefix}")
        self.connect()
        reply = self.wire.request("register_progress", client_id=client_id, scope="all")
        assert reply["type"] == "ok"
        return self

    def receive(self) -> None:
        """Receive one message."""
        _, frame = self.wire.data.recv_multipart()
        content = json.loads(frame)
        self.sizes.append(len(content) if isinstance(content, list) else 0)
        if self.sizes[-1]:
            self.saw_array.set()
        for event in content if isinstance(content, list) else [content]:
            name = event["execution_id"]
            self.numbers[name].append(event["sequence"])
            if event.get("status") in TERMINAL:
                self.ended.add(name)

    def receive_all_of(self, execution_id: str) -> list[int]:
        while execution_id not in self.ended:
            self.receive()
        return self.numbers[execution_id]


class RecordingCallback:
    """A progress callback that records sequence numbers."""

    def __init__(self) -> None:
        self.numbers: defaultdict[str, list[int]] = defaultdict(list)

    def __call__(self, event: ProgressEvent | StateEvent) -> None:
        self.numbers[event.execution_id].append(event.sequence)


@pytest.fixture
def callback() -> RecordingCallback:
    return RecordingCallback()


@pytest.fixture
def client(either_place: Place, callback: RecordingCallback) -> ExecutionClient:
    return either_place.client("Workshop", progress_callback=callback)


@pytest.fixture
def wires(client: ExecutionClient) -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def flood(client: ExecutionClient, steps: int = FLOOD) -> str:
    handle = client.submit_execution({"do": "count", "steps": steps})
    assert handle.result(PATIENCE) == steps
    return handle.execution_id


def test_flood_arrives_in_arrays_complete_and_in_order(
    client: ExecutionClient, callback: RecordingCallback, wires: contextlib.ExitStack
) -> None:
    recorder = RecordingSubscriber(wires.enter_context(Wire(client.endpoint)))
    recorder.register("recorder", takes_arrays=True)
    name = flood(client)
    assert recorder.receive_all_of(name) == list(range(1, LAST + 1))
    assert 2 <= max(recorder.sizes) <= 8
    assert len(recorder.sizes) < FLOOD
    assert 1 not in recorder.sizes
    eventually(lambda: len(callback.numbers[name]) >= LAST, "the callback has received all events")
    assert callback.numbers[name] == list(range(1, LAST + 1))


def test_subscriber_without_arrays_makes_the_server_send_single_objects_to_all(
    client: ExecutionClient, callback: RecordingCallback, wires: contextlib.ExitStack
) -> None:
    recorder = RecordingSubscriber(wires.enter_context(Wire(client.endpoint)))
    recorder.register("recorder", takes_arrays=True)
    with Wire(client.endpoint) as wire:
        plain = RecordingSubscriber(wire).connect()
        wire.data.rcvtimeo = 50
        while not plain.sizes:  # Until its subscription has arrived.
            recorder.receive_all_of(flood(client, 1))
            with contextlib.suppress(zmq.Again):
                plain.receive()
        recorder.sizes.clear()
        wire.data.rcvtimeo = int(PATIENCE * 1000)
        name = flood(client)
        assert plain.receive_all_of(name) == list(range(1, LAST + 1))
        assert set(plain.sizes) == {0}
        assert recorder.receive_all_of(name) == list(range(1, LAST + 1))
        assert set(recorder.sizes) == {0}

    def arrays_flow() -> bool:
        name = flood(client, 2000)
        assert recorder.receive_all_of(name) == list(range(1, 2004))
        return max(recorder.sizes) > 1

    eventually(arrays_flow, "arrays are sent again after its end")
    eventually(lambda: len(callback.numbers[name]) >= LAST, "the callback has received all events")
    for numbers in callback.numbers.values():
        assert numbers == list(range(1, len(numbers) + 1))


def test_short_lived_subscribers_in_a_flood_get_no_array_and_cause_no_duplicates(
    client: ExecutionClient, callback: RecordingCallback, wires: contextlib.ExitStack
) -> None:
    recorder = RecordingSubscriber(wires.enter_context(Wire(client.endpoint)))
    recorder.register("recorder", takes_arrays=True)
    handle = client.submit_execution({"do": "count", "steps": 10_000_000})
    name = handle.execution_id
    receiving = threading.Thread(target=recorder.receive_all_of, args=(name,))
    receiving.start()
    for _ in range(100):
        recorder.saw_array.clear()
        assert recorder.saw_array.wait(PATIENCE), (
            "arrays are sent before the next subscriber connects"
        )
        with Wire(client.endpoint) as wire:
            guest = RecordingSubscriber(wire).connect()
            while len(guest.sizes) < 10:
                guest.receive()
            numbers = guest.numbers[name]
            assert numbers == list(range(numbers[0], numbers[-1] + 1))
            assert not any(guest.sizes)
    handle.cancel()
    receiving.join(PATIENCE)
    assert not receiving.is_alive()
    assert 0 in recorder.sizes
    last = recorder.numbers[name][-1]
    eventually(
        lambda: callback.numbers[name][-1:] == [last], "the callback has received the last event"
    )
    # Slow subscribers may miss events in so long a flood: one event per message is slower.
    for numbers in (recorder.numbers[name], callback.numbers[name]):
        assert all(one < other for one, other in pairwise(numbers))


def test_cut_within_an_array_behind_a_fault_proxy_causes_no_duplicates(
    either_place: Place, client: ExecutionClient, wires: contextlib.ExitStack
) -> None:
    proxy = wires.enter_context(FaultProxy(either_place))
    recorded = RecordingCallback()
    behind = either_place.client(
        port=proxy.endpoint.port, config=proxy.config, progress_callback=recorded
    )
    for sequence in range(1000, 1003):  # At least one is not the last of its array.
        proxy.cut_at(Lane.EVENTS, sequence=sequence, restore_after=0.0)
        numbers = recorded.numbers[flood(behind, 2000)]
        eventually(lambda n=numbers: n[-1:] == [2003], "the terminal event arrives after the cut")  # type: ignore[misc]
        assert all(one < other for one, other in pairwise(numbers))
    behind.disconnect()


def test_fault_of_a_proxy_affects_one_event_of_an_array(
    either_place: Place, client: ExecutionClient, wires: contextlib.ExitStack
) -> None:
    proxy = wires.enter_context(FaultProxy(either_place))
    recorder = RecordingSubscriber(wires.enter_context(Wire(proxy.endpoint)))
    recorder.register("recorder", takes_arrays=True)
    direct = RecordingSubscriber(wires.enter_context(Wire(client.endpoint)))
    direct.register("direct", takes_arrays=True)
    dropped = [FLOOD - n for n in range(16)]
    for sequence in dropped:
        proxy.drop(Lane.EVENTS, sequence=sequence)
    name = flood(client)
    direct.receive_all_of(name)
    assert max(direct.sizes) > 1
    assert set(range(1, LAST + 1)).difference(recorder.receive_all_of(name)) == set(dropped)
    assert set(recorder.sizes) == {0}
