"""Names of clients and executions: 1 to 64 of ``A-Z a-z 0-9 . _ -``."""

from __future__ import annotations

import re
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from zmqruntime.messages import ClientId, ExecutionId, make_topic, make_topic_prefix

NAMES = [
    pytest.param(TypeAdapter(ClientId), id="client_id"),
    pytest.param(TypeAdapter(ExecutionId), id="execution_id"),
]
CHARACTERS = string.ascii_letters + string.digits + "._-"

names = st.text(CHARACTERS, min_size=1, max_size=64)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a", id="one character"),
        pytest.param("x" * 64, id="64 characters"),
        pytest.param(CHARACTERS[:64], id="characters"),
        pytest.param("0b1f3c52-6d0c-4f0e-9d8b-0f6a4c1f2a77", id="a UUID"),
        pytest.param("..", id="dots"),
        pytest.param("-", id="a dash"),
    ],
)
def test_valid_name_is_accepted(name: TypeAdapter[str], text: str) -> None:
    assert name.validate_python(text) == text


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("x" * 65, id="65 characters"),
        pytest.param("a b", id="space"),
        pytest.param("a/b", id="slash"),
        pytest.param("a\n", id="line break at the end"),
        pytest.param("\na", id="line break at the start"),
        pytest.param("a\x00", id="NUL"),
        pytest.param("é", id="accent"),
        pytest.param("٣", id="a digit of another script"),
        pytest.param(5, id="number"),
        pytest.param(b"a", id="bytes"),
    ],
)
def test_invalid_name_is_rejected(name: TypeAdapter[str], text: Any) -> None:
    with pytest.raises(ValidationError):
        name.validate_python(text, strict=True)


@pytest.mark.parametrize("name", NAMES)
@given(text=st.text(CHARACTERS + " /\n") | st.text())
def test_name_is_accepted_exactly_if_the_pattern_matches(name: TypeAdapter[str], text: str) -> None:
    if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text):
        assert name.validate_python(text) == text
    else:
        with pytest.raises(ValidationError):
            name.validate_python(text)


def test_topic_is_client_and_execution() -> None:
    assert make_topic_prefix("viola") == b"viola/"
    assert make_topic("viola", "run-1") == b"viola/run-1"


@given(client=names, execution=names, other=names)
def test_prefix_matches_the_topics_of_its_client_only(
    client: str, execution: str, other: str
) -> None:
    topic = make_topic(client, execution)
    assert topic.startswith(make_topic_prefix(client))
    assert topic.startswith(make_topic_prefix(other)) == (other == client)
