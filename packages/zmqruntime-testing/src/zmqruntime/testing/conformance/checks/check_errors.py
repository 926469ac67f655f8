"""What is refused, and in which words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from zmqruntime.testing.conformance.peer import Peer

checks = pytest.mark.checks

ECHO = {"do": "echo", "value": 1}


@checks("C-092")
def check_a_refusal_is_an_error(peer: Peer) -> None:
    for frame in (b"nonsense", b'{"type":"no such type"}', b'{"type":"ping","limit":"many"}'):
        assert peer.request_frames(b"", frame)["type"] == "error"


@checks("C-095")
@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"client_id": "c"}, "task"),
        ({"client_id": "c", "task": ECHO, "labels": {"a": 1}}, "labels.a"),
        ({"client_id": "c", "task": ECHO, "colour": "red"}, "colour"),
    ],
    ids=["missing", "inside", "unknown"],
)
def check_the_details_name_the_field(peer: Peer, fields: dict[str, Any], path: str) -> None:
    details = peer.expect_error("invalid_request", "execute", **fields)["details"]
    assert path in [detail["field"] for detail in details]


@checks("C-096")
@pytest.mark.parametrize(
    "frames",
    [
        [b"", b""],
        [b"", b"not JSON"],
        [b"", b'{"type":"ping"'],
        [b"", b'{"type":"ping"}}'],
        [b"", b"\xff\xfe"],
        [b"", b'"ping"'],
        [b"", b"[]"],
        [b"", b"null"],
        [b"", b'{"type":"ping","limit":NaN}'],
        [b"", b'{"type":"execute","client_id":"c","task":{"a":-Infinity}}'],
        [b"", b'{"type":"ping"}', b'{"type":"ping"}'],
        [b""],
        [b'{"type":"ping"}'],
    ],
    ids=repr,
)
def check_what_is_no_request_is_malformed(peer: Peer, frames: list[bytes]) -> None:
    assert peer.request_frames(*frames).get("code") == "malformed"


@checks("C-097")
@pytest.mark.parametrize(
    "request_",
    [
        {"type": "ping", "limit": []},
        {"type": "status", "execution_id": 1},
        {"type": "cancel"},
        {"type": "execute", "client_id": "c", "task": []},
        {"type": "ping", "colour": "red"},
        {"type": 1},
    ],
    ids=str,
)
def check_wrong_fields_are_an_invalid_request(peer: Peer, request_: dict[str, Any]) -> None:
    frame = json.dumps(request_).encode()
    assert peer.request_frames(b"", frame).get("code") == "invalid_request"


@checks("C-098")
@pytest.mark.parametrize("type", ["", "no such type", "pong", "PING"])
def check_a_type_that_there_is_not_is_unknown(peer: Peer, type: str) -> None:
    peer.expect_error("unknown_type", type)


@checks("C-099")
@pytest.mark.parametrize("protocol", [0, 2, 99])
def check_another_version_is_not_supported(peer: Peer, protocol: int) -> None:
    peer.expect_error("unsupported_protocol", "ping", protocol=protocol)


@checks("C-099")
def check_the_version_is_looked_at_before_the_rest(peer: Peer) -> None:
    peer.expect_error("unsupported_protocol", "a type to come", protocol=2, novel=True)


@checks("C-100")
def check_what_is_not_kept_is_unknown(peer: Peer) -> None:
    peer.expect_error("unknown_execution", "status", execution_id="nobody")
    peer.expect_error("unknown_execution", "cancel", execution_id="nobody")


@checks("C-101")
def check_an_id_that_stands_for_something_else_is_a_conflict(peer: Peer) -> None:
    execution_id = peer.submit("echo", value=1)
    other = {"client_id": peer.name, "task": {"do": "echo", "value": 2}}
    peer.expect_error("conflict", "execute", execution_id=execution_id, **other)
