"""What an application hands over becomes JSON, or is refused by name."""

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
def test_a_mapping_or_a_model_is_an_object(task: Any) -> None:
    assert to_object("task", task) == {"tiles": ["a"], "scale": 1.0}


@pytest.mark.parametrize("task", [["a"], "a", 3, None, object()], ids=lambda t: type(t).__name__)
def test_anything_else_is_for_the_application_to_turn_into_one(task: Any) -> None:
    sentence = f"a task must be a mapping or a pydantic model, not {type(task).__name__}"
    with pytest.raises(TypeError, match=f"{sentence}: override serialize_task"):
        to_object("task", task)


def test_what_was_handed_over_is_the_applications_to_change() -> None:
    mine = {"tiles": ["a"]}
    taken = to_object("task", mine)
    mine["more"] = ["b"]
    assert taken == {"tiles": ["a"]}


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


class Deciding(ExecutionClient):
    """Decides all of a request in one place."""

    def serialize_task(self, task: Any, config: Any = None) -> Any:
        return task


def submit(task: Any, **given: Any) -> ExecuteRequest:
    request = Deciding(client_id="lab")._make_request(task, None, **given)
    decoded = decode_request(encode_with_id(request, None))
    assert isinstance(decoded, ExecuteRequest)
    return decoded


def test_one_mapping_has_all_of_a_request() -> None:
    request = submit(FIELDS)
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
def test_what_a_call_is_given_goes_before_the_mapping(name: str, value: Any) -> None:
    assert getattr(submit(FIELDS, **{name: value}), name) == value
    assert getattr(submit(FIELDS, **{name: None}), name) == FIELDS[name]


def test_a_whole_request_may_be_given_as_its_mapping() -> None:
    whole = ExecuteRequest(task={"x": 1}, client_id="lab", labels={"a": "b"})
    assert submit(whole.model_dump()).labels == {"a": "b"}


def test_the_pair_goes_on_working() -> None:
    request = submit(({"task": 1}, {"y": 2}), priority=4)
    assert (request.task, request.config, request.priority) == ({"task": 1}, {"y": 2}, 4)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "submission: task: serialize_task.. returned none"),
        ({"task": None}, "submission: task: serialize_task.. returned none"),
        ({"task": {}, "tiemout": 3}, "submission: tiemout: there is no such field; known are"),
        ({"task": {}, "client_id": "me"}, "client_id: 'me' differs from 'lab', which this client"),
        ({"task": {}, "type": "ping"}, "type: 'ping' differs from 'execute'"),
        ({"task": {}, "execution_id": "a b"}, "execution_id: has to be 1 to 64 characters, each"),
    ],
)
def test_a_mapping_that_is_no_request_is_refused_by_field(
    fields: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(DecodeError, match=sentence):
        submit(fields)


def test_a_task_within_a_mapping_may_be_a_model() -> None:
    assert read_fields({"task": Task(tiles=["a"])}, {}, "lab")["task"]["scale"] == 1.0
    with pytest.raises(TypeError, match="a task must be a mapping or a pydantic model, not int"):
        read_fields({"task": 3}, {}, "lab")


@pytest.mark.parametrize("returned", [None, 3, "task", [{}, None]])
def test_what_is_neither_a_pair_nor_a_mapping_is_refused(returned: Any) -> None:
    with pytest.raises(TypeError, match="has to return the pair of task and configuration, or a"):
        submit(returned)


def test_a_request_has_a_name_of_its_own() -> None:
    names = {make_request({}, None, "lab").execution_id for _ in range(100)}
    assert len(names) == 100
    assert None not in names


def test_a_request_has_all_that_was_said() -> None:
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


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(DecodeError) as caught:
        make_request({"a": nan}, {"b": nan}, "no client", wait_seconds=61.0)
    assert [fault.field for fault in caught.value.faults] == [
        "client_id",
        "wait_seconds",
        "task.a",
        "config.b",
    ]


def test_a_request_without_options_says_the_same_as_one_with_them() -> None:
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
def test_what_is_wrong_with_it_is_told_by_its_path(fields: dict[str, Any], path: str) -> None:
    arguments = {"task": {}, "config": None, "client_id": "lab"} | fields
    with pytest.raises(DecodeError, match=path):
        make_request(**arguments)


def test_labels_that_a_server_would_refuse_are_refused_before_they_are_sent() -> None:
    labels = {str(number): "\u20ac" * 1000 for number in range(32)}
    with pytest.raises(DecodeError, match=r"invalid submission: labels: 96,?\d{3} bytes") as caught:
        make_request({}, None, "lab", labels=labels)
    assert [fault.field for fault in caught.value.faults] == ["labels"]
