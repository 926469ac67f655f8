"""The contract files of the wheel agree with the codec; a failure names the vector."""

from __future__ import annotations

import json
from base64 import b64decode
from collections import Counter
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from contract.files import COMMITTED, find_differences, make_files, write
from jsonschema import Draft202012Validator

from zmqruntime.messages import (
    ErrorCode,
    Event,
    MessageError,
    Reply,
    Request,
    decode_event,
    decode_events,
    decode_reply,
    decode_request,
    encode,
    make_error_reply,
    make_topic,
    make_topic_prefix,
)

Entry = dict[str, Any]

DECODE: dict[str, Callable[[bytes], Any]] = {
    "request": decode_request,
    "reply": decode_reply,
    "event": decode_event,
}
MESSAGES = [model for union in (Request, Reply, Event) for model in get_args(get_args(union)[0])]
ADVICE = (
    "If the codec is wrong, fix it. If the contract has changed, change the vector in "
    "packages/zmqruntime-messages/tools/contract and run 'nox -s contract'."
)


class Vector(NamedTuple):
    kind: str
    file: str
    entry: Entry

    def __str__(self) -> str:
        return f"{self.kind}/{self.file} {self.entry['name']!r}"


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def load_vectors(verdict: str, *, messages_only: bool = False) -> list[Vector]:
    """Return all valid or all invalid vectors."""
    return [
        Vector(vectors["kind"], path.stem, entry)
        for path in sorted(COMMITTED.glob("vectors/*/*.json"))
        for vectors in [read(path)]
        for entry in vectors[verdict]
        if "message" in entry or not messages_only
    ]


def frame_of(entry: Entry) -> bytes:
    if "message" in entry:
        return json.dumps(entry["message"]).encode()
    return entry["text"].encode() if "text" in entry else b64decode(entry["base64"])


def check_valid(vector: Vector) -> str | None:
    """Return the difference between the codec and a valid vector; None if they agree."""
    try:
        means = json.loads(encode(DECODE[vector.kind](frame_of(vector.entry))))
    except MessageError as error:
        return f"{vector} is rejected ({error}), expected acceptance. {ADVICE}"
    expected = vector.entry.get("means", means)
    if means == expected:
        return None
    return f"{vector} means {means}, expected {expected}. {ADVICE}"


def check_invalid(vector: Vector) -> str | None:
    """Return the difference between the codec and an invalid vector; None if they agree."""
    try:
        DECODE[vector.kind](frame_of(vector.entry))
    except MessageError as error:
        reply = json.loads(encode(make_error_reply(error)))
    else:
        return f"{vector} is accepted, expected a rejection. {ADVICE}"
    expected = vector.entry.get("error", vector.entry)
    for name in ("code", "request_id"):
        if name in expected and reply[name] != expected[name]:
            return (
                f"{vector} is rejected with {name} {reply[name]!r}, "
                f"expected {expected[name]!r}. {ADVICE}"
            )
    fields = sorted(detail["field"] for detail in reply["details"])
    if fields == sorted(expected["fields"]):
        return None
    return f"{vector} is rejected for {fields}, expected {expected['fields']}. {ADVICE}"


def test_committed_contract_is_up_to_date() -> None:
    differences = find_differences(COMMITTED)
    assert not differences, f"{'; '.join(differences)}: run 'nox -s contract' and commit"


def test_changed_added_and_missing_files_are_reported(tmp_path: Path) -> None:
    write(tmp_path)
    assert find_differences(tmp_path) == []
    (tmp_path / "asyncapi.json").write_text("{}")
    (tmp_path / "schema" / "reply.json").unlink()
    (tmp_path / "vectors" / "old.json").write_text("{}")
    assert find_differences(tmp_path) == [
        "asyncapi.json is out of date",
        "schema/reply.json is missing",
        "vectors/old.json is not part of the contract",
    ]
    write(tmp_path)
    assert find_differences(tmp_path) == []


def test_contract_is_installed_with_the_package() -> None:
    installed = files("zmqruntime.messages") / "contract"
    for path, text in make_files().items():
        assert installed.joinpath(*path.split("/")).read_text("utf-8") == text


@pytest.mark.parametrize(
    ("kind", "union"), [("request", Request), ("reply", Reply), ("event", Event)]
)
def test_every_message_has_minimal_full_and_invalid_vectors(kind: str, union: Any) -> None:
    types = {model.model_fields["type"].default for model in get_args(get_args(union)[0])}
    directory = COMMITTED / "vectors" / kind
    assert {path.stem for path in directory.iterdir()} == types | {"frames"}
    for word in types:
        vectors = read(directory / f"{word}.json")
        assert (vectors["kind"], vectors["type"]) == (kind, word)
        assert [entry["name"] for entry in vectors["valid"]][:2] == ["minimal", "full"]
        assert vectors["invalid"]


def test_names_of_vectors_are_unique_in_their_file() -> None:
    vectors = [str(v) for verdict in ("valid", "invalid") for v in load_vectors(verdict)]
    assert [name for name, count in Counter(vectors).items() if count > 1] == []


def test_full_messages_have_a_value_in_every_field() -> None:
    full = [v for v in load_vectors("valid", messages_only=True) if v.entry["name"] == "full"]
    assert len(full) == len(MESSAGES)
    for vector in full:
        assert vector.entry["message"] == vector.entry["means"]
        empty = [n for n, v in vector.entry["message"].items() if v in (None, [], {}, "")]
        assert not empty, str(vector)


def test_valid_vectors_are_accepted_with_their_meaning() -> None:
    assert list(filter(None, map(check_valid, load_vectors("valid")))) == []


def test_invalid_vectors_are_rejected_with_their_error() -> None:
    assert list(filter(None, map(check_invalid, load_vectors("invalid")))) == []


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"message": {"type": "ping", "limit": -1}}, "is rejected (invalid ping request"),
        ({"message": {"type": "ping"}, "means": {"type": "ping"}}, "expected {'type': 'ping'}"),
        ({"text": "[]"}, "is rejected (the request is JSON, but not an object"),
    ],
)
def test_report_of_a_wrong_valid_vector_names_it(entry: Entry, problem: str) -> None:
    report = check_valid(Vector("request", "ping", {"name": "n", **entry}))
    assert report
    assert report.startswith("request/ping 'n'")
    assert problem in report
    assert "nox -s contract" in report


@pytest.mark.parametrize(
    ("message", "error", "problem"),
    [
        ({"type": "ping"}, {}, "is accepted, expected a rejection"),
        ({"type": "pong"}, {"code": "malformed"}, "with code 'unknown_type', expected 'malformed'"),
        ({"type": "pong"}, {"request_id": "r"}, "with request_id None, expected 'r'"),
        (
            {"type": "ping", "limit": -1},
            {"fields": ["wait_seconds"]},
            "for ['limit'], expected ['wait_seconds']",
        ),
    ],
)
def test_report_of_a_wrong_invalid_vector_names_it(
    message: Entry, error: Entry, problem: str
) -> None:
    report = check_invalid(
        Vector("request", "ping", {"name": "n", "message": message, "error": error})
    )
    assert report
    assert report.startswith("request/ping 'n'")
    assert problem in report
    assert "nox -s contract" in report


VALIDATORS = {
    kind: Draft202012Validator(read(COMMITTED / f"schema/{kind}.json")) for kind in DECODE
}


@pytest.mark.parametrize("kind", DECODE)
def test_schema_is_valid_json_schema(kind: str) -> None:
    Draft202012Validator.check_schema(read(COMMITTED / "schema" / f"{kind}.json"))


def test_valid_messages_match_their_schema() -> None:
    for vector in load_vectors("valid", messages_only=True):
        assert VALIDATORS[vector.kind].is_valid(vector.entry["message"]), str(vector)


def test_invalid_messages_do_not_match_their_schema() -> None:
    for vector in load_vectors("invalid", messages_only=True):
        if not vector.entry.get("schema_may_accept"):
            assert not VALIDATORS[vector.kind].is_valid(vector.entry["message"]), str(vector)


def test_schema_may_accept_only_a_final_line_break() -> None:
    for vector in load_vectors("invalid", messages_only=True):
        values = [v for v in vector.entry["message"].values() if isinstance(v, str)]
        has_break = any(value.endswith("\n") for value in values)
        assert vector.entry.get("schema_may_accept", False) == has_break, str(vector)


def test_vectors_have_every_error_code() -> None:
    replies = read(COMMITTED / "vectors" / "reply" / "error.json")["valid"]
    assert {entry["message"]["code"] for entry in replies} >= set(ErrorCode)
    invalid = [vector.entry for vector in load_vectors("invalid")]
    codes = {entry["error"]["code"] for entry in invalid if "error" in entry}
    assert codes == {"malformed", "invalid_request", "unknown_type", "unsupported_protocol"}


ARRAYS = read(COMMITTED / "vectors" / "arrays.json")


@pytest.mark.parametrize("entry", ARRAYS["valid"], ids=lambda entry: entry["name"])
def test_array_of_events_is_decoded_in_order(entry: Entry) -> None:
    events = decode_events(frame_of(entry))
    assert [json.loads(encode(event)) for event in events] == entry["means"]
    for event in entry["means"]:
        VALIDATORS["event"].validate(event)


@pytest.mark.parametrize("entry", ARRAYS["invalid"], ids=lambda entry: entry["name"])
def test_invalid_array_of_events_is_rejected(entry: Entry) -> None:
    with pytest.raises(MessageError):
        decode_events(frame_of(entry))


def test_topics_and_prefixes_are_those_of_the_vectors() -> None:
    topics = read(COMMITTED / "vectors" / "topics.json")
    for row in topics["topics"]:
        assert make_topic(row["client_id"], row["execution_id"]) == row["topic"].encode()
    for row in topics["prefixes"]:
        own = make_topic_prefix(row["client_id"])
        assert row["prefix"].encode() == (own if row["scope"] == "own" else b"")
    for row in topics["matches"]:
        assert row["topic"].startswith(row["prefix"]) == row["arrives"]
