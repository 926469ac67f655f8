"""The files that the wheel ships say what the codec does, byte by byte."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import pytest
from contract.files import COMMITTED, RELEASED, find_differences, make_files, write
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
ADVICE = (
    "If the codec is wrong, mend it. If the promise has changed, change the vector in "
    "packages/zmqruntime-messages/tools/contract and run 'nox -s contract'."
)


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def cases(directory: Path, verdict: str, *, messages_only: bool = False) -> list[Any]:
    """Return every vector of one verdict, with its kind."""
    return [
        pytest.param(vectors["kind"], entry, id=f"{path.parent.name}-{path.stem}-{entry['name']}")
        for path in sorted(directory.glob("vectors/*/*.json"))
        for vectors in [read(path)]
        for entry in vectors[verdict]
        if "message" in entry or not messages_only
    ]


def frame_of(entry: Entry) -> bytes:
    if "message" in entry:
        return json.dumps(entry["message"]).encode()
    return entry["text"].encode() if "text" in entry else b64decode(entry["base64"])


def is_within(part: Any, whole: Any) -> bool:
    """Whether all of ``part`` is in ``whole``, which may have more fields."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(name in whole and is_within(part[name], whole[name]) for name in part)
    if isinstance(part, list) and isinstance(whole, list):
        pairs = zip(part, whole, strict=True)
        return len(part) == len(whole) and all(is_within(*pair) for pair in pairs)
    return bool(part == whole)


def judge_valid(kind: str, entry: Entry, *, grown: bool = False) -> str | None:
    """Say how the codec differs from a valid vector; None when it does not."""
    try:
        means = json.loads(encode(DECODE[kind](frame_of(entry))))
    except MessageError as error:
        return f"{kind} {entry['name']!r} is refused ({error}) and has to be accepted. {ADVICE}"
    promised = entry.get("means", {})
    if is_within(promised, means) if grown else promised in ({}, means):
        return None
    return f"{kind} {entry['name']!r} means {means} and has to mean {promised}. {ADVICE}"


def judge_invalid(kind: str, entry: Entry) -> str | None:
    """Say how the codec differs from an invalid vector; None when it does not."""
    try:
        DECODE[kind](frame_of(entry))
    except MessageError as error:
        reply = json.loads(encode(make_error_reply(error)))
    else:
        return f"{kind} {entry['name']!r} is accepted and has to be refused. {ADVICE}"
    expected = entry.get("error", entry)
    for name in ("code", "request_id"):
        if name in expected and reply[name] != expected[name]:
            return (
                f"{kind} {entry['name']!r} is refused with {name} {reply[name]!r}, "
                f"and has to be with {expected[name]!r}. {ADVICE}"
            )
    named = sorted(detail["field"] for detail in reply["details"])
    if named == sorted(expected["fields"]):
        return None
    return (
        f"{kind} {entry['name']!r} is refused for {named}, and has to be for "
        f"{expected['fields']}. {ADVICE}"
    )


def test_the_committed_contract_is_what_the_models_make() -> None:
    differences = find_differences(COMMITTED)
    assert not differences, f"{'; '.join(differences)}: run 'nox -s contract' and commit"


def test_a_file_that_was_changed_added_or_lost_is_told(tmp_path: Path) -> None:
    write(tmp_path)
    assert find_differences(tmp_path) == []
    (tmp_path / "asyncapi.json").write_text("{}")
    (tmp_path / "schema" / "reply.json").unlink()
    (tmp_path / "vectors" / "old.json").write_text("{}")
    assert find_differences(tmp_path) == [
        "asyncapi.json is not what the models make",
        "schema/reply.json is missing",
        "vectors/old.json is no part of the contract",
    ]
    write(tmp_path)
    assert find_differences(tmp_path) == []


def test_the_contract_is_found_in_the_installed_package() -> None:
    installed = files("zmqruntime.messages") / "contract"
    for path, text in make_files().items():
        assert installed.joinpath(*path.split("/")).read_text("utf-8") == text


@pytest.mark.parametrize(
    ("kind", "union"), [("request", Request), ("reply", Reply), ("event", Event)]
)
def test_every_message_has_valid_vectors_minimal_and_full_and_invalid_ones(
    kind: str, union: Any
) -> None:
    types = {model.model_fields["type"].default for model in get_args(get_args(union)[0])}
    directory = COMMITTED / "vectors" / kind
    assert {path.stem for path in directory.iterdir()} == types | {"frames"}
    for word in types:
        vectors = read(directory / f"{word}.json")
        assert (vectors["kind"], vectors["type"]) == (kind, word)
        assert [entry["name"] for entry in vectors["valid"]][:2] == ["minimal", "full"]
        assert vectors["invalid"]


@pytest.mark.parametrize(
    "path",
    sorted(COMMITTED.glob("vectors/*/*.json")),
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_no_two_vectors_of_a_file_have_one_name(path: Path) -> None:
    names = [entry["name"] for verdict in ("valid", "invalid") for entry in read(path)[verdict]]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("kind", DECODE)
def test_the_full_messages_have_every_field_filled(kind: str) -> None:
    for path in (COMMITTED / "vectors" / kind).glob("*.json"):
        if path.stem != "frames":
            full = read(path)["valid"][1]
            assert full["message"] == full["means"]
            empty = [name for name, value in full["message"].items() if value in (None, [], {}, "")]
            assert not empty, path.stem


@pytest.mark.parametrize(("kind", "entry"), cases(COMMITTED, "valid"))
def test_a_valid_vector_is_accepted_and_means_what_it_says(kind: str, entry: Entry) -> None:
    problem = judge_valid(kind, entry)
    assert not problem, problem


@pytest.mark.parametrize(("kind", "entry"), cases(COMMITTED, "invalid"))
def test_an_invalid_vector_is_refused_as_it_says(kind: str, entry: Entry) -> None:
    problem = judge_invalid(kind, entry)
    assert not problem, problem


@pytest.mark.parametrize(("kind", "entry"), cases(RELEASED, "valid"))
def test_what_was_valid_at_the_last_release_is_valid_and_means_the_same(
    kind: str, entry: Entry
) -> None:
    problem = judge_valid(kind, entry, grown=True)
    assert not problem, problem


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"message": {"type": "ping", "limit": -1}}, "is refused"),
        ({"message": {"type": "ping"}, "means": {"type": "ping"}}, "has to mean"),
        ({"text": "[]"}, "is refused"),
    ],
)
def test_a_valid_vector_that_does_not_match_says_what_to_do(entry: Entry, problem: str) -> None:
    told = judge_valid("request", {"name": "n", **entry})
    assert told
    assert told.startswith("request 'n'")
    assert problem in told
    assert "nox -s contract" in told


@pytest.mark.parametrize(
    ("message", "error", "problem"),
    [
        ({"type": "ping"}, {}, "is accepted and has to be refused"),
        ({"type": "pong"}, {"code": "malformed"}, "with code 'unknown_type'"),
        ({"type": "pong"}, {"request_id": "r"}, "with request_id None"),
        ({"type": "ping", "limit": -1}, {"fields": ["wait_seconds"]}, "is refused for ['limit']"),
    ],
)
def test_an_invalid_vector_that_does_not_match_says_what_to_do(
    message: Entry, error: Entry, problem: str
) -> None:
    told = judge_invalid("request", {"name": "n", "message": message, "error": error})
    assert told
    assert problem in told
    assert "nox -s contract" in told


@pytest.mark.parametrize("kind", DECODE)
def test_a_schema_is_valid_json_schema(kind: str) -> None:
    Draft202012Validator.check_schema(read(COMMITTED / "schema" / f"{kind}.json"))


VALIDATORS = {
    kind: Draft202012Validator(read(COMMITTED / f"schema/{kind}.json")) for kind in DECODE
}


@pytest.mark.parametrize("directory", [COMMITTED, RELEASED], ids=["now", "released"])
def test_a_valid_message_passes_its_schema(directory: Path) -> None:
    for case in cases(directory, "valid", messages_only=True):
        kind, entry = case.values
        VALIDATORS[kind].validate(entry["message"])


@pytest.mark.parametrize(("kind", "entry"), cases(COMMITTED, "invalid", messages_only=True))
def test_an_invalid_message_fails_its_schema(kind: str, entry: Entry) -> None:
    if not entry.get("schema_may_accept"):
        assert not VALIDATORS[kind].is_valid(entry["message"])


def test_what_a_schema_may_accept_is_a_final_line_break_alone() -> None:
    for case in cases(COMMITTED, "invalid", messages_only=True):
        _, entry = case.values
        names = [value for value in entry["message"].values() if isinstance(value, str)]
        ends = any(name.endswith("\n") for name in names)
        assert entry.get("schema_may_accept", False) == ends


def test_every_code_of_an_error_is_among_the_vectors() -> None:
    replies = read(COMMITTED / "vectors" / "reply" / "error.json")["valid"]
    assert {entry["message"]["code"] for entry in replies} >= set(ErrorCode)
    refusals = [case.values[1] for case in cases(COMMITTED, "invalid")]
    codes = {entry["error"]["code"] for entry in refusals if "error" in entry}
    assert codes == {"malformed", "invalid_request", "unknown_type", "unsupported_protocol"}


ARRAYS = read(COMMITTED / "vectors" / "arrays.json")


@pytest.mark.parametrize("entry", ARRAYS["valid"], ids=lambda entry: entry["name"])
def test_an_array_means_the_events_in_it(entry: Entry) -> None:
    events = decode_events(frame_of(entry))
    assert [json.loads(encode(event)) for event in events] == entry["means"]
    for event in entry["means"]:
        VALIDATORS["event"].validate(event)


@pytest.mark.parametrize("entry", ARRAYS["invalid"], ids=lambda entry: entry["name"])
def test_what_is_no_array_of_events_is_refused(entry: Entry) -> None:
    with pytest.raises(MessageError):
        decode_events(frame_of(entry))


def test_the_topics_are_those_that_are_published() -> None:
    topics = read(COMMITTED / "vectors" / "topics.json")
    for row in topics["topics"]:
        assert make_topic(row["client_id"], row["execution_id"]) == row["topic"].encode()
    for row in topics["prefixes"]:
        own = make_topic_prefix(row["client_id"])
        assert row["prefix"].encode() == (own if row["scope"] == "own" else b"")
    for row in topics["matches"]:
        assert row["topic"].startswith(row["prefix"]) == row["arrives"]
