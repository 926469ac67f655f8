"""Execute requests from an application's task, configuration and options."""

from __future__ import annotations

from collections import OrderedDict, UserDict
from math import nan
from types import MappingProxyType
from typing import Any

import pytest
from pydantic import BaseModel

from zmqruntime.execution import ExecutionClient
from zmqruntime.execution.client.request_builder import make_request, read_fields, to_object
from zmqruntime.messages import DecodeError, ExecuteRequest, decode_request
from zmqruntime.messages.lowlevel import encode_with_id


class Task(BaseModel):
    tiles: list[str]
    scale: float = 1.0


@pytest.mark.parametrize(
    "task",
    [
        {"tiles": ["a"], "scale": 1.0},
        OrderedDict(tiles=["a"], scale=1.0),
        MappingProxyType({"tiles": ["a"], "scale": 1.0}),
        UserDict({"tiles": ["a"], "scale": 1.0}),
        Task(tiles=["a"]),
    ],
    ids=lambda task: type(task).__name__,
)
def test_mapping_or_model_becomes_an_object(task: Any) -> None:
    assert to_object("task", task) == {"tiles": ["a"], "scale": 1.0}


@pytest.mark.parametrize("task", [["a"], "a", 3, None, object()], ids=lambda t: type(t).__name__)
def test_other_types_raise_with_a_hint_to_serialize_task(task: Any) -> None:
    message = f"a task must be a mapping or a pydantic model, not {type(task).__name__}"
    with pytest.raises(TypeError, match=f"{message}: override serialize_task"):
        to_object("task", task)


def test_object_is_a_copy_of_the_mapping() -> None:
    given = {"tiles": ["a"]}
    converted = to_object("task", given)
    given["more"] = ["b"]
    assert converted == {"tiles": ["a"]}


FIELDS: dict[str, Any] = {
    "task": {"tiles": ["a"]},
    "config": {"scale": 2},
    "labels": {"plate": "7"},
    "priority": 3,
    "timeout_seconds": 9.5,
    "max_attempts": 2,
    "retry_on": ["timeout"],
    "backoff_seconds": 0.5,
    "execution_id": "plate-7",
}


class WholeRequestClient(ExecutionClient):
    """Returns the fields of a request from `serialize_task`."""

    def serialize_task(self, task: Any, config: Any = None) -> Any:
        return task


def build(task: Any, **given: Any) -> ExecuteRequest:
    request = WholeRequestClient(client_id="lab")._make_request(task, None, **given)
    decoded = decode_request(encode_with_id(request, None))
    assert isinstance(decoded, ExecuteRequest)
    return decoded


def test_mapping_may_have_every_field_of_a_request() -> None:
    request = build(FIELDS)
    assert request == ExecuteRequest.model_validate(FIELDS | {"client_id": "lab"}, strict=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("labels", {"plate": "8"}),
        ("labels", {}),
        ("priority", 0),
        ("timeout_seconds", 1.0),
        ("max_attempts", 1),
        ("backoff_seconds", 0.0),
        ("execution_id", "plate-8"),
    ],
)
def test_arguments_of_a_call_override_the_mapping(name: str, value: Any) -> None:
    assert getattr(build(FIELDS, **{name: value}), name) == value
    assert getattr(build(FIELDS, **{name: None}), name) == FIELDS[name]


def test_mapping_may_be_a_dumped_request() -> None:
    whole = ExecuteRequest(task={"x": 1}, client_id="lab", labels={"a": "b"})
    assert build(whole.model_dump()).labels == {"a": "b"}


def test_pair_of_task_and_configuration_is_accepted() -> None:
    request = build(({"task": 1}, {"y": 2}), priority=4)
    assert (request.task, request.config, request.priority) == ({"task": 1}, {"y": 2}, 4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "submission: task: missing in the mapping that serialize_task"),
        ({"task": None}, "submission: task: missing in the mapping that serialize_task"),
        ({"task": {}, "tiemout": 3}, "submission: tiemout: unknown field; use one of"),
        ({"task": {}, "client_id": "me"}, "client_id: 'me' differs from 'lab', which this client"),
        ({"task": {}, "type": "ping"}, "type: 'ping' differs from 'execute'"),
        ({"task": {}, "execution_id": "a b"}, "execution_id: has to be 1 to 64 characters, each"),
    ],
)
def test_invalid_mapping_is_refused_by_field(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        build(fields)


def test_task_in_a_mapping_may_be_a_model() -> None:
    assert read_fields({"task": Task(tiles=["a"])}, {}, "lab")["task"]["scale"] == 1.0
    with pytest.raises(TypeError, match="a task must be a mapping or a pydantic model, not int"):
        read_fields({"task": 3}, {}, "lab")


@pytest.mark.parametrize("returned", [None, 3, "task", [{}, None]])
def test_return_value_other_than_pair_or_mapping_is_refused(returned: Any) -> None:
    with pytest.raises(TypeError, match="must return a tuple of task and configuration, or a"):
        build(returned)


def test_each_request_has_its_own_execution_id() -> None:
    names = {make_request({}, None, "lab").execution_id for _ in range(100)}
    assert len(names) == 100
    assert None not in names


def test_request_has_all_arguments() -> None:
    request = make_request(
        {"x": 1}, {"y": 2}, "lab", execution_id="a", labels={"l": "1"}, timeout_seconds=5.0
    )
    assert request.execution_id == "a"
    assert decode_request(encode_with_id(request, "#1")) == ExecuteRequest(
        request_id="#1",
        task={"x": 1},
        config={"y": 2},
        client_id="lab",
        execution_id="a",
        labels={"l": "1"},
        timeout_seconds=5.0,
    )


def test_error_names_every_invalid_field() -> None:
    with pytest.raises(DecodeError) as caught:
        make_request({"a": nan}, {"b": nan}, "no client", wait_seconds=61.0)
    assert [fault.field for fault in caught.value.faults] == [
        "client_id",
        "wait_seconds",
        "task.a",
        "config.b",
    ]


def test_composed_request_equals_its_model() -> None:
    request = make_request({"x": [1.5, None, "\u00e4"]}, None, "lab", wait_seconds=2.5)
    assert decode_request(encode_with_id(request, "#1")) == ExecuteRequest(
        request_id="#1",
        task={"x": [1.5, None, "\u00e4"]},
        client_id="lab",
        execution_id=request.execution_id,
        wait_seconds=2.5,
    )


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"task": {"a": [1, object()]}}, r"task\.a\[1\]"),
        ({"task": {"a": float("nan")}}, r"task\.a"),
        ({"config": {"a": {1}}}, r"config\.a"),
        ({"execution_id": "no/slash"}, "execution_id"),
        ({"execution_id": "x" * 65}, "execution_id"),
        ({"labels": {"n": 1}}, r"labels\.n"),
        ({"timeout_seconds": 0.0}, "timeout_seconds"),
        ({"timeout_seconds": "5"}, "timeout_seconds"),
        ({"client_id": ""}, "client_id"),
        ({"task": ["a"]}, "task: Input should be a valid dictionary"),
        ({"config": "a"}, "config: Input should be a valid dictionary"),
        ({"priority": False}, "priority"),
        ({"execution_id": ""}, "execution_id"),
        ({"wait_seconds": 61.0}, "wait_seconds"),
        ({"wait_seconds": True}, "wait_seconds"),
    ],
    ids=range(15),
)
def test_error_names_the_path_of_the_invalid_value(fields: dict[str, Any], path: str) -> None:
    arguments = {"task": {}, "config": None, "client_id": "lab"} | fields
    with pytest.raises(DecodeError, match=path):
        make_request(**arguments)


def test_labels_above_the_limit_are_refused_by_the_client() -> None:
    labels = {str(number): "\u20ac" * 1000 for number in range(32)}
    with pytest.raises(DecodeError, match=r"invalid submission: labels: 96,?\d{3} bytes") as caught:
        make_request({}, None, "lab", labels=labels)
    assert [fault.field for fault in caught.value.faults] == ["labels"]
