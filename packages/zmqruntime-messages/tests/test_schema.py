"""The JSON Schemas agree with the codec."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from zmqruntime.messages import Event, Reply, Request, encode, make_schemas

UNIONS: dict[str, Any] = {"request": Request, "reply": Reply, "event": Event}
SCHEMAS = make_schemas()
WORDS = {
    *("$schema", "$defs", "$ref", "title", "description", "default", "type", "const", "enum"),
    *("anyOf", "oneOf", "items", "required", "properties", "additionalProperties"),
    *("propertyNames", "pattern", "minimum", "maximum", "exclusiveMinimum"),
    *("maxItems", "maxLength", "maxProperties"),
}
MAY_BE_ABSENT = {  # By the protocol page.
    "PongReply": {"application", "progress_subscriber_count", "worker_error"},
    "ExecutionErrorInfo": {"result_repr"},
    "ExecutionRecord": {"result_dropped"},
    "AcceptedReply": {"execution"},
    "ExecutionStatusSnapshot": {
        "running_executions",
        "queued_executions",
        "counts",
        "cursor",
        "also",
    },
    "OkReply": {"progress_subscriber_count"},
    "ProgressEvent": {"data"},
}
TYPES = {"object", "array", "string", "number", "integer", "boolean", "null"}
MESSAGES = [
    pytest.param(name, model, id=model.__name__)
    for name, union in UNIONS.items()
    for model in get_args(get_args(union)[0])
]


def subschemas(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield ``schema`` and all schemas inside."""
    yield schema
    below = [*schema.get("$defs", {}).values(), *schema.get("properties", {}).values()]
    below += [*schema.get("oneOf", []), *schema.get("anyOf", []), *schema.get("prefixItems", [])]
    below += [schema[key] for key in ("items", "propertyNames") if key in schema]
    if isinstance(schema.get("additionalProperties"), dict):
        below.append(schema["additionalProperties"])
    for inner in below:
        yield from subschemas(inner)


def definition_of(name: str, model: type[BaseModel]) -> dict[str, Any]:
    return resolve(SCHEMAS[name], f"#/$defs/{model.__name__}")


def resolve(schema: dict[str, Any], reference: str) -> dict[str, Any]:
    assert reference.startswith("#/$defs/")
    definition: dict[str, Any] = schema["$defs"][reference.removeprefix("#/$defs/")]
    return definition


def test_schemas_are_of_requests_replies_and_events() -> None:
    assert set(SCHEMAS) == {"request", "reply", "event"}


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema_is_of_draft_2020_12(name: str) -> None:
    schema = SCHEMAS[name]
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == f"zmqruntime {name}"
    assert json.loads(json.dumps(schema)) == schema


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema_is_well_formed_and_self_contained(name: str) -> None:
    schema = SCHEMAS[name]
    for part in subschemas(schema):
        assert part.get("type", "object") in TYPES
        assert set(part.get("required", [])) <= set(part.get("properties", {}))
        assert "definitions" not in part  # Keyword of older drafts.
        if "$ref" in part:
            resolve(schema, part["$ref"])


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema_is_a_union_of_all_messages(name: str) -> None:
    schema = SCHEMAS[name]
    models = get_args(get_args(UNIONS[name])[0])
    assert [part["$ref"] for part in schema["oneOf"]] == [
        f"#/$defs/{model.__name__}" for model in models
    ]


@pytest.mark.parametrize(("name", "model"), MESSAGES)
def test_messages_are_discriminated_by_their_type(name: str, model: type[BaseModel]) -> None:
    definition = definition_of(name, model)
    assert definition["properties"]["type"]["const"] == model.model_fields["type"].default
    assert "type" in definition["required"]


@pytest.mark.parametrize(
    "model", [case.values[1] for case in MESSAGES if case.values[0] == "request"]
)
def test_request_schema_requires_what_the_codec_requires(model: type[BaseModel]) -> None:
    needed = {field for field, info in model.model_fields.items() if info.is_required()}
    assert set(definition_of("request", model)["required"]) == needed | {"type"}


@pytest.mark.parametrize(
    ("name", "title"),
    [(name, title) for name in ("reply", "event") for title in SCHEMAS[name]["$defs"]],
)
def test_reply_and_event_schemas_require_all_but_the_optional_fields(name: str, title: str) -> None:
    definition = SCHEMAS[name]["$defs"][title]
    absent = set(definition.get("properties", {})) - set(definition.get("required", ()))
    assert absent == MAY_BE_ABSENT.get(title, set())


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_optional_field_has_a_default(name: str) -> None:
    for definition in SCHEMAS[name]["$defs"].values():
        for field, schema in definition.get("properties", {}).items():
            assert ("default" in schema) == (field not in definition["required"])


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema_has_keywords_of_json_schema_only(name: str) -> None:
    # Strict validators (ajv) reject unknown keywords.
    words = {word for part in subschemas(SCHEMAS[name]) for word in part}
    assert words <= WORDS


def test_schema_accepts_unknown_codes_and_kinds_of_errors() -> None:
    for title, field in (("ErrorReply", "code"), ("ExecutionErrorInfo", "kind")):
        options = SCHEMAS["reply"]["$defs"][title]["properties"][field]["anyOf"]
        assert {"type": "string"} in options


@pytest.mark.parametrize(("name", "model"), MESSAGES)
def test_only_request_schemas_forbid_additional_fields(name: str, model: type[BaseModel]) -> None:
    closed = definition_of(name, model).get("additionalProperties") is False
    assert closed == (name == "request")


@pytest.mark.parametrize(("name", "model"), MESSAGES)
@settings(max_examples=10)
@given(data=st.data())
def test_schema_has_every_field_of_an_encoded_message(
    name: str, model: type[Any], data: st.DataObject
) -> None:
    sent = json.loads(encode(data.draw(st.from_type(model))))
    definition = definition_of(name, model)
    assert set(sent) == set(definition["properties"])
    assert set(definition["required"]) <= set(sent)


def test_make_schemas_returns_a_new_object() -> None:
    make_schemas()["request"].clear()
    assert make_schemas() == SCHEMAS
