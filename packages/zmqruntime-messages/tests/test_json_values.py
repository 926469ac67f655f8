"""JSON values: `encode_json` round-trips valid ones and reports the path of invalid parts."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from zmqruntime.messages import (
    MAX_NESTING,
    DecodeError,
    ErrorCode,
    ExecuteRequest,
    ExecutionRecord,
    ExecutionStatus,
    ExecutionStatusSnapshot,
    ProgressEvent,
    decode_reply,
    decode_request,
    encode,
)
from zmqruntime.messages.lowlevel import decode_errors, decode_json, encode_json


def nested(levels: int, leaf: Any = 1) -> Any:
    for level in range(levels):
        leaf = [leaf] if level % 2 else {"a": leaf}
    return leaf


def inside_a_message(frame: bytes) -> Any:
    """Return the value of ``frame``, decoded at the deepest place of a message."""
    record = (
        b'{"execution_id":"e","client_id":"c","status":"complete","submitted_at":1,"result":%b}'
    )
    reply = decode_reply(b'{"type":"snapshot","execution":%b}' % (record % frame))
    assert isinstance(reply, ExecutionStatusSnapshot)
    assert reply.execution is not None
    return reply.execution.result


def cyclic_list() -> list[Any]:
    endless: list[Any] = [1]
    endless.append(endless)
    return endless


def cyclic_dict() -> dict[str, Any]:
    endless: dict[str, Any] = {"a": {}}
    endless["a"]["b"] = [endless]
    return endless


class Colour(StrEnum):
    RED = "red"


class Size(IntEnum):
    SMALL = 1


class Rows(list[int]):
    pass


INVALID: list[tuple[str, Any, str, str]] = [
    ("integer key", {1: 1}, "value", "has a key of type int; JSON keys are strings"),
    ("inner integer key", {"a": [{}, {2: 3}]}, "value.a[1]", "has a key of type int"),
    ("None key", {None: 1}, "value", "has a key of type NoneType"),
    ("tuple", (1, 2), "value", "is of type tuple"),
    ("inner tuple", {"a": (1,)}, "value.a", "is of type tuple"),
    ("bytes", b"x", "value", "is of type bytes"),
    ("inner bytes", [0, {"b": b"x"}], "value[1].b", "is of type bytes"),
    ("set", {"a": {1}}, "value.a", "is of type set"),
    ("NaN", math.nan, "value", "is nan"),
    ("inner infinity", {"a": [0, -math.inf]}, "value.a[1]", "is -inf"),
    ("Decimal", [Decimal(1)], "value[0]", "is of type decimal.Decimal"),
    ("datetime", {"at": datetime.now(UTC)}, "value.at", "is of type datetime"),
    (
        "a message",
        [ExecuteRequest(client_id="c", task={})],
        "value[0]",
        "execute_request.ExecuteRequest",
    ),
    ("any object", object(), "value", "is of type object"),
    ("surrogate", ["\ud800"], "value[0]", "contains a lone surrogate"),
    (
        "surrogate key",
        {"a": {"\udcff": 1}},
        "value.a",
        "has a key, '\\udcff', with a lone surrogate",
    ),
    ("long integer", {"n": 10**4000}, "value.n", "is an integer of more than 4000 digits"),
    ("long negative integer", [-(10**4000)], "value[0]", "is an integer of more than 4000 digits"),
    ("list in itself", cyclic_list(), "value[1][1][1]", "is nested deeper than 190 levels, or"),
    ("dict in itself", cyclic_dict(), "value.a.b[0].a.b[0]", "or contains itself"),
    ("191 levels", nested(191), "value", "is nested deeper than 190 levels"),
    ("100000 levels", nested(100_000), "value", "is nested deeper than 190 levels"),
]


@pytest.mark.parametrize(
    ("value", "path", "message"), [pytest.param(*rest, id=name) for name, *rest in INVALID]
)
def test_value_that_is_not_json_is_rejected_with_its_path(
    value: Any, path: str, message: str
) -> None:
    with pytest.raises(DecodeError) as caught:
        encode_json(value)
    (fault,) = caught.value.faults
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert str(caught.value) == f"{fault.field} {fault.message}"
    assert fault.field.startswith(path)
    assert message in fault.message
    assert len(str(caught.value)) < 200


def test_path_starts_with_the_given_name() -> None:
    with pytest.raises(DecodeError, match=r"^the result\[0\] is of type set"):
        encode_json([{1}], "the result")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        pytest.param(None, b"null", id="None"),
        pytest.param(True, b"true", id="bool"),
        pytest.param(1.0, b"1.0", id="float"),
        pytest.param(Colour.RED, b'"red"', id="StrEnum"),
        pytest.param({Colour.RED: Size.SMALL}, b'{"red":1}', id="enums in a dict"),
        pytest.param(Rows([1, 2]), b"[1,2]", id="list subclass"),
        pytest.param(OrderedDict(b=1, a=2), b'{"b":1,"a":2}', id="OrderedDict"),
        pytest.param("Größe 🌍", '"Größe 🌍"'.encode(), id="text"),
    ],
)
def test_subclasses_of_json_types_are_encoded(value: Any, written: bytes) -> None:
    assert encode_json(value) == written


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
almost_json_values = st.recursive(
    json_values | st.floats() | st.binary() | st.text(st.characters()),
    lambda inner: st.one_of(
        st.lists(inner),
        st.lists(inner).map(tuple),
        st.dictionaries(st.text(st.characters()) | st.integers() | st.none(), inner),
    ),
    max_leaves=5,
)


@given(value=json_values)
def test_json_value_round_trips(value: Any) -> None:
    frame = encode_json(value)
    assert decode_json(frame) == inside_a_message(frame) == json.loads(frame) == value


@given(value=almost_json_values)
def test_value_is_rejected_or_round_trips_inside_a_message(value: Any) -> None:
    try:
        frame = encode_json(value)
    except DecodeError:
        return
    assert inside_a_message(frame) == value


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(nested(MAX_NESTING), id="the deepest"),
        pytest.param([[]] * 1000, id="many brackets, none deep"),
        pytest.param("[" * 1000, id="brackets in a text"),
        pytest.param(10**4000 - 1, id="the longest integer"),
        pytest.param(-(10**4000) + 1, id="the longest negative integer"),
        pytest.param([1e308, 5e-324, -0.0], id="the extremes of floats"),
    ],
)
def test_extreme_values_round_trip_inside_a_message(value: Any) -> None:
    assert inside_a_message(encode_json(value)) == value


def test_deepest_progress_round_trips_in_the_deepest_reply() -> None:
    progress = ProgressEvent(
        execution_id="e", sequence=1, timestamp=1, data={"a": nested(MAX_NESTING - 1)}
    )
    record = ExecutionRecord(
        execution_id="e",
        client_id="c",
        status=ExecutionStatus.RUNNING,
        submitted_at=1,
        progress=progress,
    )
    snapshot = ExecutionStatusSnapshot(execution=record)
    assert decode_reply(encode(snapshot)) == snapshot


@pytest.mark.parametrize("levels", [189, 190])
def test_task_is_bounded_in_depth(levels: int) -> None:
    def make() -> ExecuteRequest:
        return ExecuteRequest(client_id="c", task={"a": nested(levels)})

    if levels < MAX_NESTING:
        assert decode_request(encode(make())) == make()
    else:
        with pytest.raises(ValidationError, match="nested deeper than 190 levels"):
            make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(
            lambda: ExecuteRequest(client_id="c", task={"a": [{"b": (1,)}]}),  # type: ignore[dict-item]
            "invalid execute request: task.a[0].b: is of type tuple, which JSON cannot carry",
            id="inside a task",
        ),
        pytest.param(
            lambda: ExecuteRequest(client_id="c", task={}, labels={"a": 1}),  # type: ignore[dict-item]
            "invalid execute request: labels.a: Input should be a valid string",
            id="inside labels",
        ),
        pytest.param(
            lambda: ExecuteRequest(client_id="c"),  # type: ignore[call-arg]
            "invalid execute request: task: Field required",
            id="a field",
        ),
        pytest.param(
            lambda: ExecuteRequest.model_validate([]),
            "invalid execute request: Input should be a valid dictionary or instance of"
            " ExecuteRequest",
            id="the whole",
        ),
    ],
)
def test_decode_errors_reports_the_path_of_an_invalid_argument(
    make: Callable[[], ExecuteRequest], message: str
) -> None:
    with pytest.raises(DecodeError) as caught, decode_errors("execute request"):
        make()
    assert str(caught.value) == message
    assert caught.value.code is ErrorCode.INVALID_REQUEST
