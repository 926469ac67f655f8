"""Whatever is sent to a server gets the answer that the protocol names, and harms nobody else."""

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
def everybody_else(connect: Connect) -> Iterator[None]:
    """A client that was there before, and one that comes after, are served."""
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


# -- frames that are no requests --------------------------------------------------------------


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
def test_what_is_no_json_object_is_malformed(wire: Wire, frame: bytes) -> None:
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
def test_a_request_with_a_fault_is_answered_with_the_field_at_fault(
    wire: Wire, frame: bytes, code: str, field: str | None
) -> None:
    reply = wire.exchange(frame)
    assert (reply["type"], reply["status"], reply["code"]) == ("error", "error", code)
    if field is not None:
        assert [detail["field"] for detail in reply["details"]] == [field]
        assert field in reply["message"]


def test_an_error_reply_belongs_to_its_request(wire: Wire) -> None:
    reply = wire.exchange(b'{"type":"cancel","request_id":"mine"}')
    assert reply["request_id"] == "mine"


def test_a_request_of_several_frames_is_malformed(wire: Wire) -> None:
    wire.control.send_multipart((b"", b'{"type":"ping"}', b"and more"))
    assert wire.receive()["code"] == "malformed"


def test_a_request_without_the_empty_frame_is_told_so(wire: Wire) -> None:
    wire.control.send(b'{"type":"ping"}')
    reply = json.loads(wire.control.recv())
    assert reply["code"] == "malformed"
    assert "empty" in reply["message"]


def test_an_envelope_comes_back_as_it_was(wire: Wire) -> None:
    wire.control.send_multipart((b"proxied", b"correlated", b"", b'{"type":"ping"}'))
    *envelope, frame = wire.control.recv_multipart()
    assert envelope == [b"proxied", b"correlated", b""]
    assert json.loads(frame)["type"] == "pong"


# -- too much -------------------------------------------------------------------------------


def test_a_frame_of_100_mb_ends_its_connection_and_costs_the_server_nothing(
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


def test_a_frame_up_to_the_limit_is_taken(make_place: Callable[..., Place]) -> None:
    place = make_place(max_message_bytes=200_000)
    place.client("Workshop")
    with Wire(place.endpoint) as wire:
        room = 200_000 - len(execute(task={"do": "echo", "unused": ""}))
        longest = execute(task={"do": "echo", "unused": "x" * room})
        assert len(longest) == 200_000
        assert wire.exchange(longest)["type"] == "accepted"
        wire.send(longest + b" ")
        wire.await_disconnect()


def test_a_thousand_requests_at_once_get_a_thousand_replies(wire: Wire) -> None:
    for n in range(1000):
        wire.send(json.dumps({"type": "ping", "limit": 0, "request_id": str(n)}).encode())
    assert [wire.receive()["request_id"] for _ in range(1000)] == [str(n) for n in range(1000)]


# -- strangers ------------------------------------------------------------------------------


def connect_plainly(address: str) -> socket.socket:
    kind, _, where = address.partition("://")
    if kind == "ipc":
        plain = socket.socket(socket.AF_UNIX)
        plain.connect(where)
        return plain
    host, _, port = where.rpartition(":")
    return socket.create_connection((host, int(port)))


@pytest.mark.parametrize("channel", ["data_address", "control_address"])
@pytest.mark.parametrize(
    "words",
    [b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff\x00\x00", bytes(10_000), b"\xff" * 10_000],
    ids=lambda words: repr(words[:16]),
)
def test_a_stranger_who_does_not_speak_zeromq_is_no_trouble(
    endpoint: Endpoint, channel: str, words: bytes
) -> None:
    with connect_plainly(getattr(endpoint, channel)) as stranger:
        stranger.sendall(words)
    staying = connect_plainly(getattr(endpoint, channel))  # And one who says nothing more.
    staying.sendall(words[:1])
    with Wire(endpoint) as wire:
        assert wire.request("ping")["type"] == "pong"
    staying.close()


def test_nonsense_on_the_data_channel_is_no_subscription(wire: Wire) -> None:
    odd = wire.open(zmq.XSUB, wire.endpoint.data_address)
    for frame in (b"", b"\x02", b"\x01", b"\x00never", b"\x01\xff\xfe", b"\x01" + bytes(500)):
        odd.send(frame)
    odd.send_multipart((b"\x01two", b"frames"))
    odd.send(b"\x01" + bytes(100_000))  # More than any prefix: the connection is dropped.
    assert wire.subscribe("c")["type"] == "ok"
    assert wire.request("execute", task={"do": "echo"}, client_id="c")["type"] == "accepted"
    assert wire.data.recv_multipart()[0].startswith(b"c/")


def test_who_registers_without_a_subscription_is_told_to_subscribe(wire: Wire) -> None:
    reply = wire.request("register_progress", client_id="nobody")
    assert reply["code"] == "not_subscribed"
    assert "subscribe" in reply["message"]
    assert wire.request("ping")["progress_subscribers"] == []


# -- clients that die, and clients that are two ----------------------------------------------


ASK_AND_DIE = """
import os, signal, sys, time, zmq
context = zmq.Context()
data = context.socket(zmq.SUB)
data.subscribe("mortal/")
data.connect(sys.argv[2])
control = context.socket(zmq.DEALER)
control.connect(sys.argv[1])
*answered, held = sys.argv[3:]
for frame in answered:
    control.send_multipart((b"", frame.encode()))
    control.recv_multipart()
control.send_multipart((b"", held.encode()))
data.recv()
print("heard", flush=True)
time.sleep(3600)
"""


def test_a_client_that_dies_takes_nothing_with_it(
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
        "-c", ASK_AND_DIE, endpoint.control_address, endpoint.data_address, *frames
    )
    mortal.read_until("heard")
    assert client.ping().progress_subscribers == ("mortal",)

    mortal.kill()
    mortal.wait(PATIENCE)

    eventually(lambda: not client.ping().progress_subscribers, "its registration is gone")
    assert client.get_record("orphaned").status is ExecutionStatus.RUNNING
    (tmp_path / "gate").touch()
    assert client.wait_for_completion("orphaned", timeout=PATIENCE).result == "seen"


def test_a_client_that_leaves_before_its_reply_is_no_trouble(
    endpoint: Endpoint, client: ExecutionClient
) -> None:
    for n in range(50):
        with Wire(endpoint) as hasty:
            hasty.send(execute(execution_id=f"hasty-{n}"))
            hasty.send(b'{"type":"status","wait_seconds":0.05,"execution_id":"hasty-0"}')
    eventually(lambda: client.ping().queued_count == 0, "all were taken")


def test_two_clients_with_one_name_both_hear_and_both_are_answered(endpoint: Endpoint) -> None:
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

        # One leaves: the other goes on as before.
        twin.data.close()
        reply = other_twin.request("execute", task={"do": "echo"}, client_id="twins")
        assert reply["type"] == "accepted"
        assert [other_twin.data.recv_multipart()[0] for _ in range(3)] == [
            f"twins/{reply['execution_id']}".encode()
        ] * 3


# -- requests that come too late, or for nobody ------------------------------------------------


@pytest.mark.parametrize("type", ["status", "cancel"])
def test_an_unknown_execution_is_named_in_the_answer(wire: Wire, type: str) -> None:
    reply = wire.request(type, execution_id="nobody")
    assert reply["code"] == "unknown_execution"
    assert "nobody" in reply["message"]


def test_cancelling_what_has_ended_is_a_conflict(wire: Wire) -> None:
    wire.exchange(execute(execution_id="ended"))
    record = wire.request("status", execution_id="ended", wait_seconds=60)["execution"]
    assert record["status"] == "complete"
    reply = wire.request("cancel", execution_id="ended")
    assert reply["code"] == "conflict"
    assert "complete" in reply["message"]


def test_submitting_while_the_server_drains_is_refused_and_the_rest_is_answered(
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
        # It is answered, although the server ends with the execution.
        record = wire.receive()["execution"]
        assert (record["status"], record["result"]) == ("complete", "drained")


# -- everything at once -----------------------------------------------------------------------


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
    """Return a request that was valid, and probably is no longer."""
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
    elif name != "wait_seconds":  # Else some would take their time.
        request[name] = random_source.choice(NASTY)
    return json.dumps(request).encode()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_thousands_of_mutated_requests_get_one_reply_each(
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
    wire.send(json.dumps({"type": "ping", "request_id": "behind them all"}).encode())
    assert wire.receive()["request_id"] == "behind them all", "a reply came unasked"
    assert client.ping().ready
    eventually(lambda: client.ping().queued_count == 0, "what was accepted has run")


# -- nothing unpickles ------------------------------------------------------------------------


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_nothing_unpickles_what_a_client_sends(
    workshop: Place, wire: Wire, client: ExecutionClient, tmp_path: Path
) -> None:
    trap = tmp_path / "sprung"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        pickled = pickle.dumps(Touch(trap), protocol)
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

    assert not trap.exists()
    pickle.loads(pickle.dumps(Touch(trap)))
    assert trap.exists(), "the trap works"


@pytest.mark.skipif(sys.platform == "win32", reason="there it listens on a port of its own")
def test_a_stranger_on_the_workers_link_is_not_listened_to(
    workshop: Place, client: ExecutionClient, tmp_path: Path
) -> None:
    assert workshop.endpoint.transport_mode is TransportMode.IPC
    trap = tmp_path / "sprung"
    pickled = pickle.dumps(Touch(trap))
    handle = client.submit_execution({"do": "wait_for", "path": str(tmp_path / "gate")})
    await_phase(handle)
    name = handle.execution_id.encode()
    link = f"ipc://{workshop.endpoint.data_path.with_suffix('.w')}"
    with Wire(workshop.endpoint) as wire:
        for identity in (b"", b"w", b"w" + bytes(16) + b"t", os.urandom(18)):
            stranger = wire.open(zmq.DEALER, link, identity)
            for kind in (b"returned", b"raised", b"stopped", b"progress", b"ready", b"failed", b""):
                stranger.send_multipart((kind, name, pickled))
                stranger.send_multipart((kind, name, b'"forged"'))
                stranger.send_multipart((kind, pickled))
            stranger.send(pickled)
    (tmp_path / "gate").touch()
    assert handle.result(PATIENCE) == "seen"
    assert not trap.exists()
