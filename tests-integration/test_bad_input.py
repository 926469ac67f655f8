"""Invalid input gets the reply that the protocol names, and does not affect other clients."""

from __future__ import annotations

import base64
import itertools
import json
import os
import pickle
import random
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq
from places import Connect, Place, await_phase
from waiting import PATIENCE, eventually
from wire import Wire

from zmqruntime.execution import ExecutionClient, ShuttingDown
from zmqruntime.messages import ExecutionStatus
from zmqruntime.transport import Endpoint, TransportMode


@pytest.fixture
def endpoint(workshop: Place) -> Endpoint:
    return workshop.endpoint


@pytest.fixture
def wire(endpoint: Endpoint) -> Iterator[Wire]:
    with Wire(endpoint) as wire:
        yield wire


@pytest.fixture(autouse=True)
def other_clients(connect: Connect) -> Iterator[None]:
    """A client that was connected before, and one that connects afterwards, are served."""
    before = connect()
    yield
    for client in (before, connect()):
        assert client.ping().ready
        assert client.execute({"do": "echo", "value": "served"}, timeout=PATIENCE) == "served"


def execute(**changes: Any) -> bytes:
    """Return an `execute` request with some fields changed, or left out where None."""
    request = {"type": "execute", "task": {"do": "echo"}, "client_id": "c"} | changes
    kept = {name: value for name, value in request.items() if value is not None}
    return json.dumps(kept).encode()


# -- frames that are not requests -------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b" ",
        b"not JSON",
        b"{",
        b'{"type":"ping"',
        b'{"type":"ping"}}',
        b"{'type':'ping'}",
        b"\x00",
        b"\xff\xfe{\x00}\x00",
        '{"type":"ping"}'.encode("utf-16"),
        b'{"type":"ping","request_id":"\xff"}',
        b'{"type":"ping","request_id":"\\ud800"}',
        b"null",
        b"true",
        b"3",
        b'"ping"',
        b"[]",
        b'[{"type":"ping"}]',
        b'{"type":"ping","limit":NaN}',
        b'{"type":"execute","client_id":"c","task":{"a":NaN}}',
        b'{"type":"execute","client_id":"c","task":{"a":[Infinity]}}',
        b'{"type":"execute","client_id":"c","task":{"a":-Infinity}}',
        b"[" * 100_000,
        b'{"type":"execute","client_id":"c","task":' + b'{"a":' * 300 + b"1" + b"}" * 301,
    ],
    ids=lambda frame: repr(frame[:50]),
)
def test_frame_that_is_not_a_json_object_is_malformed(wire: Wire, frame: bytes) -> None:
    reply = wire.exchange(frame)
    assert (reply["type"], reply["status"], reply["code"]) == ("error", "error", "malformed")
    assert reply["message"]


@pytest.mark.parametrize(
    ("frame", "code", "field"),
    [
        (b'{"type":"no such"}', "unknown_type", "type"),
        (b'{"type":"pong"}', "unknown_type", "type"),
        (b"{}", "invalid_request", "type"),
        (b'{"type":null}', "invalid_request", "type"),
        (b'{"type":["ping"]}', "invalid_request", "type"),
        (b'{"type":"ping","protocol":2}', "unsupported_protocol", "protocol"),
        (b'{"type":"no such","protocol":99}', "unsupported_protocol", "protocol"),
        (b'{"type":"ping","protocol":"1"}', "invalid_request", "protocol"),
        (b'{"type":"ping","request_id":7}', "invalid_request", "request_id"),
        (b'{"type":"ping","limit":-1}', "invalid_request", "limit"),
        (b'{"type":"ping","limit":1001}', "invalid_request", "limit"),
        (b'{"type":"ping","limit":"10"}', "invalid_request", "limit"),
        (b'{"type":"ping","limit":1e400}', "invalid_request", "limit"),
        (b'{"type":"ping","colour":"red"}', "invalid_request", "colour"),
        (b'{"type":"status","wait_seconds":61}', "invalid_request", "wait_seconds"),
        (b'{"type":"status","wait_seconds":-1}', "invalid_request", "wait_seconds"),
        (b'{"type":"status","wait_seconds":true}', "invalid_request", "wait_seconds"),
        (b'{"type":"status","execution_id":""}', "invalid_request", "execution_id"),
        (b'{"type":"status","cursor":"nonsense"}', "invalid_request", None),
        (b'{"type":"cancel"}', "invalid_request", "execution_id"),
        (b'{"type":"cancel","execution_id":"../x"}', "invalid_request", "execution_id"),
        (b'{"type":"register_progress"}', "invalid_request", "client_id"),
        (
            b'{"type":"register_progress","client_id":"c","scope":"none"}',
            "invalid_request",
            "scope",
        ),
        (b'{"type":"unregister_progress","client_id":""}', "invalid_request", "client_id"),
        (b'{"type":"shutdown","mode":"later"}', "invalid_request", "mode"),
        (b'{"type":"shutdown","now":true}', "invalid_request", "now"),
        (execute(task=None), "invalid_request", "task"),
        (execute(task=[]), "invalid_request", "task"),
        (execute(task="echo"), "invalid_request", "task"),
        (execute(config=[]), "invalid_request", "config"),
        (execute(client_id=None), "invalid_request", "client_id"),
        (execute(client_id="a/b"), "invalid_request", "client_id"),
        (execute(client_id="a b"), "invalid_request", "client_id"),
        (execute(client_id="ä"), "invalid_request", "client_id"),
        (execute(client_id="c\n"), "invalid_request", "client_id"),
        (execute(client_id="c" * 65), "invalid_request", "client_id"),
        (execute(execution_id="e" * 65), "invalid_request", "execution_id"),
        (execute(labels=[]), "invalid_request", "labels"),
        (execute(labels={"a": 1}), "invalid_request", "labels.a"),
        (execute(timeout_seconds=0), "invalid_request", "timeout_seconds"),
        (execute(timeout_seconds="1"), "invalid_request", "timeout_seconds"),
        (execute(colour="red"), "invalid_request", "colour"),
    ],
    ids=itertools.count(),
)
def test_reply_to_an_invalid_request_names_the_invalid_field(
    wire: Wire, frame: bytes, code: str, field: str | None
) -> None:
    reply = wire.exchange(frame)
    assert (reply["type"], reply["status"], reply["code"]) == ("error", "error", code)
    if field is not None:
        assert [detail["field"] for detail in reply["details"]] == [field]
        assert field in reply["message"]


def test_error_reply_has_the_request_id(wire: Wire) -> None:
    reply = wire.exchange(b'{"type":"cancel","request_id":"mine"}')
    assert reply["request_id"] == "mine"


def test_request_of_several_frames_is_malformed(wire: Wire) -> None:
    wire.control.send_multipart((b"", b'{"type":"ping"}', b"and more"))
    assert wire.receive()["code"] == "malformed"


def test_reply_to_a_request_without_the_empty_frame_names_the_frame(wire: Wire) -> None:
    wire.control.send(b'{"type":"ping"}')
    reply = json.loads(wire.control.recv())
    assert reply["code"] == "malformed"
    assert "empty" in reply["message"]


def test_reply_has_the_envelope_of_its_request(wire: Wire) -> None:
    wire.control.send_multipart((b"proxied", b"correlated", b"", b'{"type":"ping"}'))
    *envelope, frame = wire.control.recv_multipart()
    assert envelope == [b"proxied", b"correlated", b""]
    assert json.loads(frame)["type"] == "pong"


# -- too much -------------------------------------------------------------------------------


def test_frame_of_100_mb_ends_its_connection_and_costs_no_memory(
    either_place: Place,
) -> None:
    client = either_place.client("Workshop")
    server = psutil.Process(client.ping().process.pid)
    before = server.memory_info().rss
    for _ in range(3):
        with Wire(either_place.endpoint) as wire:
            wire.send(bytes(100 * 10**6))
            wire.await_disconnect()
    assert client.execute({"do": "echo", "value": 1}, timeout=PATIENCE) == 1
    assert server.memory_info().rss - before < 50 * 10**6


def test_frame_up_to_the_limit_is_accepted(make_place: Callable[..., Place]) -> None:
    place = make_place(max_message_bytes=200_000)
    place.client("Workshop")
    with Wire(place.endpoint) as wire:
        room = 200_000 - len(execute(task={"do": "echo", "unused": ""}))
        longest = execute(task={"do": "echo", "unused": "x" * room})
        assert len(longest) == 200_000
        assert wire.exchange(longest)["type"] == "accepted"
        wire.send(longest + b" ")
        wire.await_disconnect()


def test_thousand_requests_without_reading_get_a_thousand_replies(wire: Wire) -> None:
    for n in range(1000):
        wire.send(json.dumps({"type": "ping", "limit": 0, "request_id": str(n)}).encode())
    assert [wire.receive()["request_id"] for _ in range(1000)] == [str(n) for n in range(1000)]


# -- peers that do not speak the protocol ---------------------------------------------------


def connect_raw(address: str) -> socket.socket:
    kind, _, where = address.partition("://")
    if kind == "ipc":
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(where)
        return connection
    host, _, port = where.rpartition(":")
    return socket.create_connection((host, int(port)))


@pytest.mark.parametrize("channel", ["data_address", "control_address"])
@pytest.mark.parametrize(
    "content",
    [b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff\x00\x00", bytes(10_000), b"\xff" * 10_000],
    ids=lambda content: repr(content[:16]),
)
def test_connection_that_does_not_speak_zeromq_does_not_affect_others(
    endpoint: Endpoint, channel: str, content: bytes
) -> None:
    with connect_raw(getattr(endpoint, channel)) as connection:
        connection.sendall(content)
    idle = connect_raw(getattr(endpoint, channel))
    idle.sendall(content[:1])
    with Wire(endpoint) as wire:
        assert wire.request("ping")["type"] == "pong"
    idle.close()


def test_invalid_frames_on_the_data_channel_are_ignored(wire: Wire) -> None:
    odd = wire.open(zmq.XSUB, wire.endpoint.data_address)
    for frame in (b"", b"\x02", b"\x01", b"\x00never", b"\x01\xff\xfe", b"\x01" + bytes(500)):
        odd.send(frame)
    odd.send_multipart((b"\x01two", b"frames"))
    odd.send(b"\x01" + bytes(100_000))  # Longer than any prefix: the connection is closed.
    assert wire.subscribe("c")["type"] == "ok"
    assert wire.request("execute", task={"do": "echo"}, client_id="c")["type"] == "accepted"
    assert wire.data.recv_multipart()[0].startswith(b"c/")


def test_registration_without_a_subscription_is_rejected(wire: Wire) -> None:
    reply = wire.request("register_progress", client_id="unsubscribed")
    assert reply["code"] == "not_subscribed"
    assert "subscribe" in reply["message"]
    assert wire.request("ping")["progress_subscribers"] == []


# -- clients that die, and clients with one id -----------------------------------------------


MORTAL_CLIENT = """
import os, signal, sys, time, zmq
context = zmq.Context()
data = context.socket(zmq.SUB)
data.subscribe("mortal/")
data.connect(sys.argv[2])
control = context.socket(zmq.DEALER)
control.connect(sys.argv[1])
*requests, held = sys.argv[3:]
for frame in requests:
    control.send_multipart((b"", frame.encode()))
    control.recv_multipart()
control.send_multipart((b"", held.encode()))
data.recv()
print("event received", flush=True)
time.sleep(3600)
"""


def test_death_of_a_client_ends_its_registration_but_not_its_execution(
    workshop: Place, client: ExecutionClient, tmp_path: Path
) -> None:
    task = {"do": "wait_for", "path": str(tmp_path / "gate")}
    frames = [
        '{"type":"register_progress","client_id":"mortal"}',
        execute(client_id="mortal", execution_id="orphaned", task=task).decode(),
        '{"type":"status","execution_id":"orphaned","wait_seconds":60}',
    ]
    endpoint = workshop.endpoint
    mortal = workshop.start(
        "-c", MORTAL_CLIENT, endpoint.control_address, endpoint.data_address, *frames
    )
    mortal.read_until("event received")
    assert client.ping().progress_subscribers == ("mortal",)

    mortal.kill()
    mortal.wait(PATIENCE)

    eventually(lambda: not client.ping().progress_subscribers, "its registration is removed")
    assert client.get_record("orphaned").status is ExecutionStatus.RUNNING
    (tmp_path / "gate").touch()
    assert client.wait_for_completion("orphaned", timeout=PATIENCE).result == "seen"


def test_clients_that_disconnect_before_their_reply_do_not_affect_others(
    endpoint: Endpoint, client: ExecutionClient
) -> None:
    for n in range(50):
        with Wire(endpoint) as client_wire:
            client_wire.send(execute(execution_id=f"early-{n}"))
            client_wire.send(b'{"type":"status","wait_seconds":0.05,"execution_id":"early-0"}')
    eventually(lambda: client.ping().queued_count == 0, "all submissions have run")


def test_two_clients_with_one_id_both_receive_events_and_replies(endpoint: Endpoint) -> None:
    with Wire(endpoint) as twin, Wire(endpoint) as other_twin:
        for wire in (twin, other_twin):
            assert wire.subscribe("twins")["progress_subscribers"] == ["twins"]
        requests = {"first": twin, "second": other_twin}
        for name, wire in requests.items():
            reply = wire.request(
                "execute", task={"do": "echo"}, client_id="twins", execution_id=name
            )
            assert (reply["type"], reply["execution_id"]) == ("accepted", name)
        for wire in (twin, other_twin):
            topics = [wire.data.recv_multipart()[0] for _ in range(6)]
            assert topics.count(b"twins/first") == topics.count(b"twins/second") == 3
            wire.request("status", execution_id="second", wait_seconds=60)

        # After the end of one client, the other goes on.
        twin.data.close()
        reply = other_twin.request("execute", task={"do": "echo"}, client_id="twins")
        assert reply["type"] == "accepted"
        assert [other_twin.data.recv_multipart()[0] for _ in range(3)] == [
            f"twins/{reply['execution_id']}".encode()
        ] * 3


# -- requests that are too late, or for unknown executions -------------------------------------


@pytest.mark.parametrize("type", ["status", "cancel"])
def test_error_of_an_unknown_execution_contains_the_id(wire: Wire, type: str) -> None:
    reply = wire.request(type, execution_id="missing")
    assert reply["code"] == "unknown_execution"
    assert "missing" in reply["message"]


def test_cancel_of_an_ended_execution_is_a_conflict(wire: Wire) -> None:
    wire.exchange(execute(execution_id="ended"))
    record = wire.request("status", execution_id="ended", wait_seconds=60)["execution"]
    assert record["status"] == "complete"
    reply = wire.request("cancel", execution_id="ended")
    assert reply["code"] == "conflict"
    assert "complete" in reply["message"]


def test_draining_server_rejects_submissions_and_replies_to_other_requests(
    place: Place, tmp_path: Path
) -> None:
    client = place.client("Workshop", persistent=True)
    running = client.submit_execution({"do": "wait_for", "path": str(tmp_path / "gate")})
    await_phase(running)
    queued = client.submit_execution({"do": "echo", "value": "drained"})
    client.shutdown_server()

    with pytest.raises(ShuttingDown):
        client.submit_execution({"do": "echo"})
    with Wire(place.endpoint) as wire:
        assert wire.exchange(execute())["code"] == "shutting_down"
        assert wire.exchange(b"nonsense")["code"] == "malformed"
        pong = wire.request("ping")
        assert (pong["ready"], pong["queued_count"]) == (False, 1)
        held = json.dumps({"type": "status", "execution_id": queued.execution_id})
        wire.send(held.replace("}", ',"wait_seconds":60}').encode())
        (tmp_path / "gate").touch()
        # The reply is sent although the server ends with the execution.
        record = wire.receive()["execution"]
        assert (record["status"], record["result"]) == ("complete", "drained")


# -- mutated requests -------------------------------------------------------------------------


SEEDS = [
    b'{"type":"ping","limit":3,"request_id":"r"}',
    b'{"type":"status","execution_id":"unknown","wait_seconds":0}',
    b'{"type":"status","limit":7,"cursor":"0"}',
    b'{"type":"cancel","execution_id":"unknown"}',
    b'{"type":"unregister_progress","client_id":"fuzz"}',
    execute(client_id="fuzz", labels={"a": "b"}, config={"c": [1, 2.5, None]}, timeout_seconds=1),
]
NASTY: list[Any] = [
    None,
    True,
    -1,
    0,
    10**30,
    1e308,
    "",
    "\x00",
    "x" * 300,
    "é/..",
    [],
    {},
    [[]],
    {"a": {}},
]


def mutate(random_source: random.Random) -> bytes:
    """Return a mutated request, which is probably invalid."""
    frame = random_source.choice(SEEDS)
    kind = random_source.randrange(5)
    if kind == 0:
        return random_source.randbytes(random_source.randrange(200))
    if kind == 1:
        at = random_source.randrange(len(frame))
        return frame[:at] + random_source.randbytes(random_source.randrange(4)) + frame[at + 1 :]
    if kind == 2:
        first, second = sorted(random_source.choices(range(len(frame)), k=2))
        return frame[:first] + frame[second:]
    request: dict[str, Any] = json.loads(frame)
    name = random_source.choice([*request, "surplus"])
    if kind == 3:
        request.pop(name, None)
    elif name != "wait_seconds":  # Otherwise some replies would be held.
        request[name] = random_source.choice(NASTY)
    return json.dumps(request).encode()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_mutated_requests_get_one_reply_each(
    client: ExecutionClient, wire: Wire, seed: int
) -> None:
    source = random.Random(seed)
    codes: dict[str, int] = {}
    sent = 2000
    for _ in range(sent // 100):
        for _ in range(100):
            wire.send(mutate(source))
        for _ in range(100):
            reply = wire.receive()
            code = reply.get("code", reply["status"])
            codes[code] = codes.get(code, 0) + 1
    assert sum(codes.values()) == sent
    assert "internal" not in codes, codes
    assert {"ok", "accepted", "malformed", "invalid_request", "unknown_execution"} <= set(codes)
    wire.send(json.dumps({"type": "ping", "request_id": "last"}).encode())
    assert wire.receive()["request_id"] == "last", "there was an extra reply"
    assert client.ping().ready
    eventually(lambda: client.ping().queued_count == 0, "all accepted executions have run")


# -- pickles ----------------------------------------------------------------------------------


class DirectoryMaker:
    """Creates a directory when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_messages_of_clients_are_never_unpickled(
    workshop: Place, wire: Wire, client: ExecutionClient, tmp_path: Path
) -> None:
    created = tmp_path / "created"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        pickled = pickle.dumps(DirectoryMaker(created), protocol)
        text = base64.b64encode(pickled).decode()

        assert wire.exchange(pickled)["code"] == "malformed"
        wire.control.send_multipart((b"", pickled, pickled))
        assert wire.receive()["code"] == "malformed"
        wire.control.send_multipart((pickled, b"", b'{"type":"ping"}'))
        assert wire.control.recv_multipart()[0] == pickled
        assert client.execute({"do": "echo", "value": text}, timeout=PATIENCE) == text
        assert wire.request("cancel", execution_id=text)["code"] == "invalid_request"

        subscriber = wire.open(zmq.XSUB, wire.endpoint.data_address)
        subscriber.send(b"\x01" + pickled)
        subscriber.send(pickled)

    assert not created.exists()
    pickle.loads(pickle.dumps(DirectoryMaker(created)))
    assert created.exists(), "unpickling creates the directory"


@pytest.mark.skipif(sys.platform == "win32", reason="the link is a TCP port on Windows")
def test_messages_of_other_peers_on_the_workers_link_are_ignored(
    workshop: Place, client: ExecutionClient, tmp_path: Path
) -> None:
    assert workshop.endpoint.transport_mode is TransportMode.IPC
    created = tmp_path / "created"
    pickled = pickle.dumps(DirectoryMaker(created))
    handle = client.submit_execution({"do": "wait_for", "path": str(tmp_path / "gate")})
    await_phase(handle)
    name = handle.execution_id.encode()
    link = f"ipc://{workshop.endpoint.data_path.with_suffix('.w')}"
    with Wire(workshop.endpoint) as wire:
        for identity in (b"", b"w", b"w" + bytes(16) + b"t", os.urandom(18)):
            peer = wire.open(zmq.DEALER, link, identity)
            for kind in (b"returned", b"raised", b"stopped", b"progress", b"ready", b"failed", b""):
                peer.send_multipart((kind, name, pickled))
                peer.send_multipart((kind, name, b'"forged"'))
                peer.send_multipart((kind, pickled))
            peer.send(pickled)
    (tmp_path / "gate").touch()
    assert handle.result(PATIENCE) == "seen"
    assert not created.exists()
