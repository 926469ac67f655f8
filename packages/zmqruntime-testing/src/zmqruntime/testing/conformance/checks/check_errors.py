"""Error replies: codes and details."""

from __future__ import annotations

import json
from typing import Any

import pytest

from zmqruntime.testing.conformance.peer import Peer

checks = pytest.mark.checks

ECHO = {"do": "echo", "value": 1}


@checks("C-092")
def check_rejection_is_an_error(peer: Peer) -> None:
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
def check_details_name_the_field(peer: Peer, fields: dict[str, Any], path: str) -> None:
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
def check_message_that_is_not_a_request_is_malformed(peer: Peer, frames: list[bytes]) -> None:
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
def check_invalid_fields_are_an_invalid_request(peer: Peer, request_: dict[str, Any]) -> None:
    frame = json.dumps(request_).encode()
    assert peer.request_frames(b"", frame).get("code") == "invalid_request"


@checks("C-098")
@pytest.mark.parametrize("type", ["", "no such type", "pong", "PING"])
def check_unknown_type_is_rejected(peer: Peer, type: str) -> None:
    peer.expect_error("unknown_type", type)


@checks("C-099")
@pytest.mark.parametrize("protocol", [0, 2, 99])
def check_other_protocol_version_is_rejected(peer: Peer, protocol: int) -> None:
    peer.expect_error("unsupported_protocol", "ping", protocol=protocol)


@checks("C-099")
def check_protocol_version_is_validated_first(peer: Peer) -> None:
    peer.expect_error("unsupported_protocol", "future type", protocol=2, novel=True)


@checks("C-100")
def check_unknown_execution_is_rejected(peer: Peer) -> None:
    peer.expect_error("unknown_execution", "status", execution_id="unknown")
    peer.expect_error("unknown_execution", "cancel", execution_id="unknown")


@checks("C-101")
def check_id_of_another_request_is_a_conflict(peer: Peer) -> None:
    execution_id = peer.submit("echo", value=1)
    other = {"client_id": peer.name, "task": {"do": "echo", "value": 2}}
    peer.expect_error("conflict", "execute", execution_id=execution_id, **other)
