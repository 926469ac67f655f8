"""The AsyncAPI document describes both channels and every message."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from contract.files import COMMITTED
from jsonschema import Draft7Validator

from zmqruntime.messages import make_schemas

DOCUMENT = json.loads((COMMITTED / "asyncapi.json").read_text("utf-8"))
MESSAGES = DOCUMENT["components"]["messages"]


def resolve(reference: dict[str, str]) -> Any:
    value = DOCUMENT
    for part in reference["$ref"].removeprefix("#/").split("/"):
        value = value[part]
    return resolve(value) if set(value) == {"$ref"} else value


def parts(value: Any) -> Iterator[Any]:
    yield value
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            yield from parts(inner)


def types_of(kind: str) -> set[str]:
    definitions = make_schemas()[kind]["$defs"].values()
    fields = [d["properties"]["type"] for d in definitions if "type" in d.get("properties", {})]
    return {field["const"] for field in fields if "const" in field} - (
        types_of("event") if kind == "reply" else set()  # Parts of records and of kept_events.
    )


def test_document_is_of_asyncapi_3() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"


def test_every_reference_resolves() -> None:
    references = [part for part in parts(DOCUMENT) if isinstance(part, dict) and "$ref" in part]
    assert references
    for reference in references:
        assert set(reference) == {"$ref"}
        assert resolve(reference)


def test_control_channel_has_requests_and_replies_and_data_channel_has_events() -> None:
    channels = DOCUMENT["channels"]
    assert set(channels["control"]["messages"]) == types_of("request") | types_of("reply")
    assert set(channels["data"]["messages"]) == types_of("event")
    assert channels["data"]["address"] == "{client_id}/{execution_id}"


def test_every_request_is_an_operation_with_its_reply_or_an_error() -> None:
    operations = DOCUMENT["operations"]
    assert set(operations) == types_of("request") | {"publish"}
    answers = set()
    for word in types_of("request"):
        operation = operations[word]
        assert operation["action"] == "receive"
        assert [resolve(message)["name"] for message in operation["messages"]] == [word]
        reply, error = (resolve(message)["name"] for message in operation["reply"]["messages"])
        assert error == "error"
        assert f"``{reply}``" in resolve(operation["messages"][0])["summary"] or reply == "ok"
        answers.add(reply)
    assert answers | {"error"} == types_of("reply")
    assert operations["publish"]["action"] == "send"


def test_servers_have_tcp_and_ipc_addresses() -> None:
    protocols = {name: server["protocol"] for name, server in DOCUMENT["servers"].items()}
    assert protocols == {
        "controlTcp": "tcp",
        "controlIpc": "ipc",
        "dataTcp": "tcp",
        "dataIpc": "ipc",
    }
    ports = {n: s["variables"]["port"]["default"] for n, s in DOCUMENT["servers"].items()}
    assert ports["dataTcp"] == ports["dataIpc"] == "7777"
    assert ports["controlTcp"] == ports["controlIpc"] == "8777"


def test_examples_match_their_schemas() -> None:
    # AsyncAPI schemas are a superset of draft 7, with references into the whole document.
    for word, message in MESSAGES.items():
        schema = {**DOCUMENT, **message["payload"]}
        Draft7Validator.check_schema(resolve(message["payload"]))
        validator = Draft7Validator(schema)
        assert [example["name"] for example in message["examples"]] == ["minimal", "full"]
        for example in message["examples"]:
            assert example["payload"]["type"] == word
            validator.validate(example["payload"])
        assert not validator.is_valid({"type": "another"})
