"""A stream is cut into the messages that went into it, wherever it was cut on its way."""

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
def test_what_goes_in_comes_out(sent: list[Message], cuts: list[int]) -> None:
    stream = b"".join(encode_message(*message) for message in sent)
    reader = MessageReader()
    heard: list[Message] = []
    at = n = 0
    while at < len(stream):
        assert reader.missing > 0
        part = stream[at : at + cuts[n % len(cuts)]]
        heard += reader.feed(part)
        at += len(part)
        n += 1
    assert heard == sent


@given(messages, st.data())
def test_one_that_is_cut_short_is_not_told(message: Message, data: st.DataObject) -> None:
    frame = encode_message(*message)
    reader = MessageReader()
    assert reader.feed(frame[: data.draw(st.integers(0, len(frame) - 1))]) == []


@pytest.mark.parametrize(
    ("rubbish", "reason"),
    [
        (b"\xff" * 10, "a message of 18,446,744,073,709,551,615 bytes"),
        (encode_message(b"P", "one", b"x" * 101), "a message of 101 bytes"),
        (encode_message(b"P", "one").replace(b"one", b"\xfene"), "is no name of an execution"),
    ],
)
def test_what_is_no_message_breaks_the_stream_behind_those_that_were(
    rubbish: bytes, reason: str
) -> None:
    reader = MessageReader(100)
    good = Message(b"P", "one", b"x" * 100)
    assert reader.feed(encode_message(*good) + rubbish + encode_message(*good)) == [good]
    assert reason in str(reader.broken)
    assert reader.feed(encode_message(*good)) == []


def test_a_long_one_tells_how_much_it_lacks() -> None:
    frame = encode_message(b"A", "name", b"x" * 100_000)
    reader = MessageReader()
    reader.feed(frame[:50])
    assert reader.missing == len(frame) - 50
    reader.feed(frame[50:60_000])
    assert reader.missing == len(frame) - 60_000
    assert reader.feed(frame[60_000:]) == [Message(b"A", "name", b"x" * 100_000)]
