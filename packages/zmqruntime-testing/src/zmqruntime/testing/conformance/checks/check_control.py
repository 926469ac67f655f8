"""Frames, envelopes, and what holds of every request."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import time
from typing import Any

import pytest
import zmq

from zmqruntime.messages import MAX_REQUEST_BYTES
from zmqruntime.testing.conformance.fixtures import MakePeer
from zmqruntime.testing.conformance.journal import Violation, decode_strictly
from zmqruntime.testing.conformance.peer import Peer
from zmqruntime.testing.conformance.settings import Settings

checks = pytest.mark.checks

PING = b'{"type":"ping"}'
LONGEST = 128 * 2**20


def minimal(peer: Peer, type: str) -> dict[str, Any]:
    """Return the fields without which a request of this type is not valid."""
    match type:
        case "execute":
            return {"client_id": peer.name, "task": {"do": "echo", "value": 1}}
        case "cancel":
            return {"execution_id": "nobody"}
        case "register_progress" | "unregister_progress":
            return {"client_id": peer.name}
        case _:
            return {}


@checks("C-001")
def check_a_sub_socket_receives_events(peer: Peer) -> None:
    peer.register()
    assert peer.story(peer.submit("echo", value=1))


@checks("C-002")
@pytest.mark.parametrize("kind", [zmq.REQ, zmq.DEALER], ids=["REQ", "DEALER"])
def check_a_req_and_a_dealer_are_answered(peer: Peer, kind: int) -> None:
    sock = peer.open(kind)
    sock.connect(peer.target.control)
    sock.send_multipart([PING] if kind == zmq.REQ else [b"", PING])
    assert decode_strictly(peer.receive(sock)[-1])["type"] == "pong"


@checks("C-004")
def check_the_directory_of_the_socket_files_is_private(settings: Settings) -> None:
    if not settings.target.is_ipc or os.name != "posix":
        pytest.skip("there is no socket file")
    directory = os.path.dirname(settings.target.data.removeprefix("ipc://"))  # noqa: PTH120
    mode = stat.S_IMODE(os.stat(directory).st_mode)  # noqa: PTH116
    assert mode == 0o700, f"the mode of {directory} is {mode:04o}"


@checks("C-005")
@pytest.mark.parametrize("envelope", [[b""], [b"one", b""], [b"one", b"two", b""]], ids=len)
def check_the_envelope_comes_back(peer: Peer, envelope: list[bytes]) -> None:
    peer.control.send_multipart([*envelope, PING])
    frames = peer.receive(peer.control)
    assert frames[:-1] == envelope, f"the envelope {envelope} came back as {frames[:-1]}"


@checks("C-006")
def check_a_req_socket_that_correlates_is_answered(peer: Peer) -> None:
    sock = peer.open(zmq.REQ)
    sock.setsockopt(zmq.REQ_CORRELATE, 1)
    sock.connect(peer.target.control)
    for _ in range(2):
        sock.send(PING)
        assert decode_strictly(peer.receive(sock)[-1])["type"] == "pong"


@checks("C-007")
def check_a_held_reply_delays_no_other(peer: Peer, make_peer: MakePeer) -> None:
    (spinning, *_) = peer.occupy()
    other = make_peer()
    held = other.start("status", execution_id=spinning, wait_seconds=60)
    for asking in (peer, other):
        ping = asking.start("ping")
        asking.await_reply(ping)
        assert held.reply_frames is None, "the held reply came first"
    peer.granted("ok", "cancel", execution_id=spinning)
    other.await_held(held)


@checks("C-008", "C-040")
def check_the_longest_request_is_taken(peer: Peer) -> None:
    most = peer.granted("pong", "ping")["max_message_bytes"]
    if most > LONGEST:
        pytest.skip("it takes longer requests than are worth sending")
    task = {"do": "echo", "value": 1}
    request = {"type": "execute", "client_id": peer.name, "task": task, "config": {"unused": ""}}
    room = most - len(json.dumps(request))
    longest = json.dumps(request | {"config": {"unused": "x" * room}}).encode()
    assert len(longest) == most
    accepted = peer.ask_frames(b"", longest)
    assert accepted["type"] == "accepted"
    peer.finish(peer.adopt(accepted))


@checks("C-230", "C-105")
@pytest.mark.parametrize("type", ["ping", "status", "execute"])
def check_what_is_beside_a_task_is_short(peer: Peer, type: str) -> None:
    given = {"type": type, **minimal(peer, type)}
    short = json.dumps(given).encode()
    beside = len(short) - (len(json.dumps(given["task"])) if type == "execute" else 0)
    taken = peer.ask_frames(b"", short + b" " * (MAX_REQUEST_BYTES - beside))
    assert taken["status"] != "error"
    if type == "execute":
        peer.finish(peer.adopt(taken))
    refused = peer.ask_frames(b"", short + b" " * (MAX_REQUEST_BYTES - beside + 1))
    assert (refused["type"], refused.get("code")) == ("error", "too_large")


@checks("C-231")
@pytest.mark.parametrize("envelope", [[b"hop"] * 15 + [b""], [b"x" * 4096, b""]], ids=len)
def check_a_long_envelope_is_refused(peer: Peer, envelope: list[bytes]) -> None:
    peer.control.send_multipart([*envelope, PING])
    *returned, frame = peer.receive(peer.control)
    assert returned == [b""]
    assert decode_strictly(frame)["code"] == "malformed"


@checks("C-243")
def check_the_application_of_a_server_stays_the_same(peer: Peer, make_peer: MakePeer) -> None:
    first = peer.granted("pong", "ping").get("application")
    assert peer.granted("pong", "ping").get("application") == first
    assert make_peer().granted("pong", "ping").get("application") == first


@checks("C-009")
def check_a_longer_request_ends_the_connection(peer: Peer, make_peer: MakePeer) -> None:
    most = peer.granted("pong", "ping")["max_message_bytes"]
    if most > LONGEST:
        pytest.skip("it takes longer requests than are worth sending")
    other = make_peer()
    other.send(b"", PING.ljust(most + 1))
    if not other.await_disconnect():
        raise Violation(f"the connection still stands after a request of {most + 1:,} bytes")
    assert not other.take_reply(time.monotonic()), "there was a reply"


@checks("C-010")
def check_a_long_subscription_is_taken_and_does_no_harm(peer: Peer) -> None:
    peer.subscribe("x" * 1000)
    peer.register()
    assert peer.story(peer.submit("echo", value=1))


@checks("C-220")
def check_a_peer_of_zmtp_1_is_not_answered(peer: Peer) -> None:
    with connect_plainly(peer.target.control, peer.patience) as old:
        # No identity, a delimiter, the request: each frame has its length and flags before it.
        old.sendall(b"\x01\x00" + b"\x01\x01" + bytes([len(PING) + 1, 0]) + PING)
        received = b""
        with contextlib.suppress(ConnectionError):  # That is an end as well.
            while chunk := old.recv(4096):
                received += chunk
    assert b"pong" not in received


def connect_plainly(address: str, seconds: float) -> socket.socket:
    """Return a connection to a ZeroMQ address, without ZeroMQ."""
    transport, _, name = address.partition("://")
    if transport == "tcp":
        host, _, port = name.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), seconds)
    plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    plain.settimeout(seconds)
    plain.connect(name)
    return plain


@checks("C-011")
def check_a_reply_is_one_frame(peer: Peer) -> None:
    for type in ("ping", "status", "cancel", "no such type"):
        exchange = peer.start(type)
        peer.await_reply(exchange)
        assert exchange.reply_frames is not None
        assert len(exchange.reply_frames) == 1


NOT_JSON = {
    "a byte order mark": b"\xef\xbb\xbf" + PING,
    "half of a surrogate pair": b'{"type":"ping","request_id":"\\ud800"}',
    "nested too deep": b'{"type":"execute","client_id":"c","task":{"a":%b%b}}'
    % (b"[" * 300, b"]" * 300),
}


@checks("C-011", "C-162")
@pytest.mark.parametrize("what", NOT_JSON)
def check_what_is_json_to_some_readers_only_is_malformed(peer: Peer, what: str) -> None:
    assert peer.ask_frames(b"", NOT_JSON[what])["code"] == "malformed"


NO_REQUESTS = [
    [b""],
    [b"", b""],
    [b"", b"nonsense"],
    [b"", b"\xff\xfe"],
    [b"", b"[]"],
    [b"", b"null"],
    [b"", PING, PING],
    [b"", b'{"type":"ping","limit":NaN}'],
    [b"", b'{"type":["ping"]}'],
    [b"", b'{"type":"no such type"}'],
    [b"", b'{"type":"execute","task":{"a":Infinity},"client_id":"c"}'],
    [b"", b"[" * 10_000],
    [PING],
]


@checks("C-012")
@pytest.mark.parametrize("frames", NO_REQUESTS, ids=lambda frames: repr(frames)[:40])
def check_whatever_is_sent_gets_one_reply(peer: Peer, frames: list[bytes]) -> None:
    peer.await_reply(peer.send(*frames))
    peer.ask("ping")
    peer.ask("ping")
    assert not peer.journal.surplus_of(peer.name), "there was more than one"


@checks("C-013")
def check_no_reply_comes_unasked(peer: Peer, make_peer: MakePeer) -> None:
    bystander = make_peer()
    bystander.register()
    peer.finish(peer.submit("echo", value=1))
    for _ in range(2):
        assert bystander.ask("ping").get("type") == "pong", "a reply came unasked"
    assert not bystander.journal.surplus_of(bystander.name), "a reply came unasked"


@checks("C-014")
def check_what_there_is_not_is_null(peer: Peer) -> None:
    peer.occupy()
    record = peer.record(peer.submit("echo", value=1))
    for name in ("started_at", "finished_at", "progress", "result", "error"):
        assert record[name] is None, f"{name} is {record[name]!r} while it is queued"


@checks("C-015")
@pytest.mark.parametrize(
    "fields",
    [
        {"limit": "10"},
        {"limit": 5.0},
        {"limit": True},
        {"wait_seconds": "0"},
        {"wait_seconds": False},
        {"request_id": 7},
        {"protocol": "1"},
        {"protocol": True},
    ],
    ids=str,
)
def check_nothing_is_converted(peer: Peer, fields: dict[str, Any]) -> None:
    frame = json.dumps({"type": "ping", **fields}).encode()
    assert peer.ask_frames(b"", frame).get("code") == "invalid_request"


@checks("C-016")
@pytest.mark.parametrize(
    ("type", "name"),
    [
        ("ping", "limit"),
        ("ping", "wait_seconds"),
        ("ping", "protocol"),
        ("status", "limit"),
        ("status", "wait_seconds"),
        ("execute", "labels"),
        ("register_progress", "scope"),
    ],
)
def check_null_is_no_value_of_a_field_that_has_to_have_one(
    peer: Peer, type: str, name: str
) -> None:
    peer.refused("invalid_request", type, **minimal(peer, type), **{name: None})


@checks("C-016")
def check_null_is_a_value_where_the_page_says_so(peer: Peer) -> None:
    peer.granted("snapshot", "status", execution_id=None, cursor=None, request_id=None)
    optional = {"config": None, "execution_id": None, "timeout_seconds": None}
    peer.finish(peer.submit("echo", value=1, fields=optional))


@checks("C-017")
def check_a_request_has_a_type(peer: Peer) -> None:
    assert peer.ask_frames(b"", b"{}").get("code") == "invalid_request"
    assert peer.ask_frames(b"", b'{"type":null}').get("code") == "invalid_request"


@checks("C-018")
def check_the_protocol_may_be_named(peer: Peer) -> None:
    peer.granted("pong", "ping", protocol=1)
    peer.granted("pong", "ping")


@checks("C-019")
@pytest.mark.parametrize("request_id", [None, "", "r", "ä\n\"'\\ \U0001f600", "x" * 256], ids=repr)
def check_the_request_id_comes_back(peer: Peer, request_id: str | None) -> None:
    for type in ("ping", "no such type"):
        reply = peer.ask(type, request_id=request_id)
        assert reply["request_id"] == request_id


@checks("C-019")
def check_a_request_without_an_id_is_answered_without_one(peer: Peer) -> None:
    assert peer.ask_frames(b"", PING)["request_id"] is None


@checks("C-020")
@pytest.mark.parametrize(
    "type", ["ping", "execute", "status", "cancel", "register_progress", "unregister_progress"]
)
def check_an_unknown_field_is_refused(peer: Peer, type: str) -> None:
    peer.refused("invalid_request", type, **minimal(peer, type), colour="red")


@checks("C-023")
@pytest.mark.parametrize("name", ["", "x" * 65, "a/b", "a b", "ä", "a\n"], ids=repr)
def check_what_is_no_name_is_refused(peer: Peer, name: str) -> None:
    task = {"do": "echo", "value": 1}
    peer.refused("invalid_request", "execute", client_id=name, task=task)
    peer.refused("invalid_request", "status", execution_id=name)
    peer.refused("invalid_request", "register_progress", client_id=name)


@checks("C-023")
def check_a_name_may_have_64_characters_of_every_kind(peer: Peer) -> None:
    name = f"{peer.name}.Az09_-".ljust(64, "x")
    task = {"do": "echo", "value": 1}
    peer.granted("accepted", "execute", client_id=name, execution_id=name, task=task)
    assert peer.finish(name)["client_id"] == name


@checks("C-024")
def check_times_are_unix_seconds(peer: Peer) -> None:
    before = peer.granted("pong", "ping")
    record = peer.finish(peer.submit("echo", value=1))
    after = peer.granted("pong", "ping")
    begun, ended = (pong["started_at"] + pong["uptime_seconds"] for pong in (before, after))
    order = [begun - 1, record["submitted_at"], record["started_at"], record["finished_at"], ended]
    order[-1] += 1
    assert order == sorted(order), "not between the server's own times, in this order"
    assert abs(ended - time.time()) < 366 * 86_400, "not the time of these years"


@checks("C-025", "C-061", "C-064")
def check_a_hold_takes_as_many_seconds_as_it_says(peer: Peer) -> None:
    (spinning, *_) = peer.occupy()
    held = peer.start("status", execution_id=spinning, wait_seconds=0.5)
    assert peer.await_held(held, 0.5)["execution"]["status"] == "running"
