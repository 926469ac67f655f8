"""Envelopes of requests: REQ sockets, proxies, and invalid frames."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmqruntime.messages import DecodeError, ErrorCode
from zmqruntime.transport.envelope import split_envelope

PEER, BODY = b"\x00peer", b'{"type":"ping"}'


def refusal(frames: list[bytes]) -> tuple[tuple[bytes, ...], str]:
    envelope, fault = split_envelope(frames)
    assert isinstance(fault, DecodeError)
    assert fault.code is ErrorCode.MALFORMED
    return envelope, fault.message


def test_envelope_of_a_req_socket_ends_with_an_empty_frame() -> None:
    assert split_envelope([PEER, b"", BODY]) == ((PEER, b""), BODY)


def test_request_id_of_req_correlate_is_part_of_the_envelope() -> None:
    assert split_envelope([PEER, b"\x00\x00\x00\x01", b"", BODY]) == (
        (PEER, b"\x00\x00\x00\x01", b""),
        BODY,
    )


def test_proxy_adds_the_routing_ids_of_its_peers() -> None:
    assert split_envelope([PEER, b"hop 2", b"hop 1", b"", BODY]) == (
        (PEER, b"hop 2", b"hop 1", b""),
        BODY,
    )


def test_missing_delimiter_is_an_error_for_the_peer_itself() -> None:
    envelope, message = refusal([PEER, BODY])
    assert envelope == (PEER,)
    assert "use a REQ socket, or send an empty frame first" in message


def test_request_of_no_or_several_frames_is_refused() -> None:
    assert refusal([PEER, b""]) == ((PEER, b""), "a request is one frame; this one has 0")
    assert refusal([PEER, b"", BODY, BODY]) == (
        (PEER, b""),
        "a request is one frame; this one has 2",
    )


def test_first_empty_frame_is_the_delimiter() -> None:
    assert split_envelope([PEER, b"", b""]) == ((PEER, b""), b"")
    assert refusal([PEER, b"", b"", BODY])[0] == (PEER, b"")


@given(st.lists(st.binary(max_size=3), max_size=6))
def test_reply_envelope_is_the_request_envelope_for_any_frames(frames: list[bytes]) -> None:
    envelope, body = split_envelope([PEER, *frames])
    assert envelope == (PEER, *frames)[: len(envelope)]
    assert envelope[1:].count(b"") == (1 if b"" in frames else 0)
    rest = frames[len(envelope) - 1 :]
    if b"" in frames and len(rest) == 1:
        assert body == rest[0]
    else:
        assert isinstance(body, DecodeError)


@pytest.mark.parametrize(
    "envelope",
    [
        pytest.param([b"hop"] * 15 + [b""], id="too many frames"),
        pytest.param([b"hop"] * 30, id="no end"),
        pytest.param([b"x" * 4096, b""], id="too many bytes"),
    ],
)
def test_too_long_envelope_is_refused_and_not_returned(envelope: list[bytes]) -> None:
    returned, fault = split_envelope([PEER, *envelope, BODY])
    assert returned == (PEER, b"")
    assert isinstance(fault, DecodeError)
    assert fault.code is ErrorCode.MALFORMED
    assert "at most 16 frames of together 4,096 bytes are taken" in str(fault)


def test_envelope_of_the_maximum_length_is_valid() -> None:
    envelope = (PEER, *[b"h" * 255] * 14, b"")
    assert split_envelope([*envelope, BODY]) == (envelope, BODY)
