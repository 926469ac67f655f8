"""Rules for every request: JSON, field types, names, ids, times, and one reply each."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from zmqruntime.messages import MAX_REQUEST_BYTES
from zmqruntime.testing.conformance.fixtures import MakePeer
from zmqruntime.testing.conformance.peer import Peer

checks = pytest.mark.checks

PING = b'{"type":"ping"}'
LONGEST = 128 * 2**20


def minimal(peer: Peer, type: str) -> dict[str, Any]:
    """Return the required fields of a request of this type."""
    match type:
        case "execute":
            return {"client_id": peer.name, "task": {"do": "echo", "value": 1}}
        case "cancel":
            return {"execution_id": "unknown"}
        case "register_progress" | "unregister_progress":
            return {"client_id": peer.name}
        case _:
            return {}


@checks("C-230", "C-105")
@pytest.mark.parametrize("type", ["ping", "status", "execute"])
def check_request_without_its_task_has_a_size_limit(peer: Peer, type: str) -> None:
    given = {"type": type, **minimal(peer, type)}
    short = json.dumps(given).encode()
    beside = len(short) - (len(json.dumps(given["task"])) if type == "execute" else 0)
    taken = peer.request_frames(b"", short + b" " * (MAX_REQUEST_BYTES - beside))
    assert taken["status"] != "error"
    if type == "execute":
        peer.await_end(peer.track(taken))
    refused = peer.request_frames(b"", short + b" " * (MAX_REQUEST_BYTES - beside + 1))
    assert (refused["type"], refused.get("code")) == ("error", "too_large")


@checks("C-011")
def check_reply_is_one_frame(peer: Peer) -> None:
    for type in ("ping", "status", "cancel", "no such type"):
        exchange = peer.send_request(type)
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
def check_json_that_only_some_parsers_accept_is_malformed(peer: Peer, what: str) -> None:
    assert peer.request_frames(b"", NOT_JSON[what])["code"] == "malformed"


INVALID_MESSAGES = [
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
@pytest.mark.parametrize("frames", INVALID_MESSAGES, ids=lambda frames: repr(frames)[:40])
def check_every_message_gets_one_reply(peer: Peer, frames: list[bytes]) -> None:
    peer.await_reply(peer.send(*frames))
    peer.request("ping")
    peer.request("ping")
    assert not peer.transcript.surplus_of(peer.name), "received more than one reply"


@checks("C-013")
def check_replies_are_sent_only_to_requests(peer: Peer, make_peer: MakePeer) -> None:
    bystander = make_peer()
    bystander.register()
    peer.await_end(peer.submit("echo", value=1))
    for _ in range(2):
        assert bystander.request("ping").get("type") == "pong", "received an unsolicited reply"
    assert not bystander.transcript.surplus_of(bystander.name), "received an unsolicited reply"


@checks("C-014")
def check_missing_value_is_null(peer: Peer) -> None:
    peer.fill_slots()
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
def check_values_are_not_converted(peer: Peer, fields: dict[str, Any]) -> None:
    frame = json.dumps({"type": "ping", **fields}).encode()
    assert peer.request_frames(b"", frame).get("code") == "invalid_request"


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
def check_null_is_rejected_for_required_values(peer: Peer, type: str, name: str) -> None:
    peer.expect_error("invalid_request", type, **minimal(peer, type), **{name: None})


@checks("C-016")
def check_null_is_accepted_for_nullable_fields(peer: Peer) -> None:
    peer.expect_reply("snapshot", "status", execution_id=None, cursor=None, request_id=None)
    optional = {"config": None, "execution_id": None, "timeout_seconds": None}
    peer.await_end(peer.submit("echo", value=1, fields=optional))


@checks("C-017")
def check_request_requires_a_type(peer: Peer) -> None:
    assert peer.request_frames(b"", b"{}").get("code") == "invalid_request"
    assert peer.request_frames(b"", b'{"type":null}').get("code") == "invalid_request"


@checks("C-018")
def check_protocol_field_is_optional(peer: Peer) -> None:
    peer.expect_reply("pong", "ping", protocol=1)
    peer.expect_reply("pong", "ping")


@checks("C-019")
@pytest.mark.parametrize("request_id", [None, "", "r", "ä\n\"'\\ \U0001f600", "x" * 256], ids=repr)
def check_request_id_is_returned(peer: Peer, request_id: str | None) -> None:
    for type in ("ping", "no such type"):
        reply = peer.request(type, request_id=request_id)
        assert reply["request_id"] == request_id


@checks("C-019")
def check_reply_has_no_request_id_without_one_in_the_request(peer: Peer) -> None:
    assert peer.request_frames(b"", PING)["request_id"] is None


@checks("C-020")
@pytest.mark.parametrize(
    "type", ["ping", "execute", "status", "cancel", "register_progress", "unregister_progress"]
)
def check_unknown_field_is_rejected(peer: Peer, type: str) -> None:
    peer.expect_error("invalid_request", type, **minimal(peer, type), colour="red")


@checks("C-023")
@pytest.mark.parametrize("name", ["", "x" * 65, "a/b", "a b", "ä", "a\n"], ids=repr)
def check_invalid_name_is_rejected(peer: Peer, name: str) -> None:
    task = {"do": "echo", "value": 1}
    peer.expect_error("invalid_request", "execute", client_id=name, task=task)
    peer.expect_error("invalid_request", "status", execution_id=name)
    peer.expect_error("invalid_request", "register_progress", client_id=name)


@checks("C-023")
def check_name_of_64_characters_is_accepted(peer: Peer) -> None:
    name = f"{peer.name}.Az09_-".ljust(64, "x")
    task = {"do": "echo", "value": 1}
    peer.expect_reply("accepted", "execute", client_id=name, execution_id=name, task=task)
    assert peer.await_end(name)["client_id"] == name


@checks("C-024")
def check_times_are_unix_seconds(peer: Peer) -> None:
    before = peer.expect_reply("pong", "ping")
    record = peer.await_end(peer.submit("echo", value=1))
    after = peer.expect_reply("pong", "ping")
    begun, ended = (pong["started_at"] + pong["uptime_seconds"] for pong in (before, after))
    order = [begun - 1, record["submitted_at"], record["started_at"], record["finished_at"], ended]
    order[-1] += 1
    assert order == sorted(order), "the times are not in order between the times of the pongs"
    assert abs(ended - time.time()) < 366 * 86_400, (
        "the clock of the server is off by more than a year"
    )


@checks("C-025", "C-061", "C-064")
def check_long_poll_lasts_wait_seconds(peer: Peer) -> None:
    (spinning, *_) = peer.fill_slots()
    held = peer.send_request("status", execution_id=spinning, wait_seconds=0.5)
    assert peer.await_held(held, 0.5)["execution"]["status"] == "running"
