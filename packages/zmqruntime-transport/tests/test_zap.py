"""ZAP requests (RFC 27): decisions, and the refusal of invalid ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmqruntime.transport.server.zap import (
    ZAP_DOMAIN,
    Decision,
    NullAccess,
    ZapRequest,
    compose_reply,
)

ENVELOPE = [b"peer", b""]
REQUEST = [*ENVELOPE, b"1.0", b"7", ZAP_DOMAIN, b"127.0.0.1", b"me", b"NULL"]


def reply_to(*frames: bytes) -> list[bytes]:
    reply = compose_reply(frames, NullAccess().authorize)
    assert reply is not None
    return reply


def test_null_connection_is_accepted_with_a_unique_number() -> None:
    access = NullAccess()
    replies = [compose_reply(REQUEST, access.authorize) for _ in range(2)]
    for number, reply in enumerate(replies, 1):
        assert reply == [*ENVELOPE, b"1.0", b"7", b"200", b"OK", b"%d" % number, b""]


@pytest.mark.parametrize(
    ("index", "frame", "reason"),
    [(4, b"other", b"unknown domain b'other'"), (7, b"PLAIN", b"mechanism b'PLAIN' is not accept")],
)
def test_another_domain_or_mechanism_is_refused_with_the_reason(
    index: int, frame: bytes, reason: bytes
) -> None:
    reply = reply_to(*REQUEST[:index], frame, *REQUEST[index + 1 :])
    assert reply[2:5] == [b"1.0", b"7", b"400"]
    assert reply[5].startswith(reason)
    assert reply[6] == b""


def test_decision_gets_all_that_libzmq_knows_of_a_connection() -> None:
    seen: list[ZapRequest] = []

    def authorize(request: ZapRequest) -> Decision:
        seen.append(request)
        return Decision(200, "OK", "alice")

    reply = compose_reply([*REQUEST[:7], b"CURVE", b"k" * 32], authorize)
    assert seen == [ZapRequest(ZAP_DOMAIN, b"127.0.0.1", b"me", b"CURVE", (b"k" * 32,))]
    assert reply is not None
    assert reply[6] == b"alice"


def test_unknown_version_or_missing_frame_is_a_failure() -> None:
    assert reply_to(*ENVELOPE, b"2.0", *REQUEST[3:])[4] == b"500"
    for count in range(4, len(REQUEST)):
        assert reply_to(*REQUEST[:count])[2:5] == [b"1.0", b"7", b"500"]


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=12))
def test_any_frames_get_a_reply_of_six_frames_or_none(frames: list[bytes]) -> None:
    reply = compose_reply(frames, NullAccess().authorize)
    if reply is not None:
        end = reply.index(b"", 1) + 1
        assert reply[:end] == frames[:end]
        assert len(reply[end:]) == 6
        assert reply[end + 2] in (b"200", b"400", b"500")
