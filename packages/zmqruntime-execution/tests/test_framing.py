"""A stream is decoded into the encoded messages, wherever it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmqruntime.execution.worker.framing import Message, MessageReader, encode_message

messages = st.builds(
    Message,
    st.binary(min_size=1, max_size=1),
    st.text("abcXYZ019._-", max_size=64),
    st.binary(max_size=300),
)


@given(st.lists(messages, max_size=20), st.lists(st.integers(1, 400), min_size=1))
def test_messages_survive_any_cuts_of_the_stream(sent: list[Message], cuts: list[int]) -> None:
    stream = b"".join(encode_message(*message) for message in sent)
    reader = MessageReader()
    received: list[Message] = []
    at = n = 0
    while at < len(stream):
        assert reader.missing > 0
        part = stream[at : at + cuts[n % len(cuts)]]
        received += reader.feed(part)
        at += len(part)
        n += 1
    assert received == sent


@given(messages, st.data())
def test_incomplete_message_is_not_returned(message: Message, data: st.DataObject) -> None:
    frame = encode_message(*message)
    reader = MessageReader()
    assert reader.feed(frame[: data.draw(st.integers(0, len(frame) - 1))]) == []


@pytest.mark.parametrize(
    ("garbage", "reason"),
    [
        (b"\xff" * 10, "a message of 18,446,744,073,709,551,615 bytes"),
        (encode_message(b"P", "one", b"x" * 101), "a message of 101 bytes"),
        (encode_message(b"P", "one").replace(b"one", b"\xfene"), "invalid execution id"),
    ],
)
def test_invalid_data_is_an_error_after_the_messages_before_it(garbage: bytes, reason: str) -> None:
    reader = MessageReader(100)
    good = Message(b"P", "one", b"x" * 100)
    assert reader.feed(encode_message(*good) + garbage + encode_message(*good)) == [good]
    assert reason in str(reader.error)
    assert reader.feed(encode_message(*good)) == []


def test_missing_bytes_of_a_long_message_are_known() -> None:
    frame = encode_message(b"A", "name", b"x" * 100_000)
    reader = MessageReader()
    reader.feed(frame[:50])
    assert reader.missing == len(frame) - 50
    reader.feed(frame[50:60_000])
    assert reader.missing == len(frame) - 60_000
    assert reader.feed(frame[60_000:]) == [Message(b"A", "name", b"x" * 100_000)]
