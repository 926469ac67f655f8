"""Results and progress data: conversion of types that JSON does not have."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import math
import pathlib
import uuid
from collections import OrderedDict, deque, namedtuple
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, field_serializer

from zmqruntime.execution import to_json_value
from zmqruntime.execution.worker.child.reporter import encode_progress
from zmqruntime.execution.worker.child.serialization import encode_value
from zmqruntime.messages import DecodeError


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass
class Well:
    row: str
    dose: object


class Fit(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: str
    path: pathlib.PurePosixPath
    extra: Any = None


class Rounded(BaseModel):
    value: float

    @field_serializer("value", when_used="json")
    def _round(self, value: float) -> str:
        return f"{value:.1f}"


class FakeScalar:
    """A number such as numpy's, recognised by its method."""

    def __init__(self, value: object) -> None:
        self._value = value

    def tolist(self) -> object:
        return self._value


class FakeArray(FakeScalar):
    @property
    def size(self) -> int:
        return 2_000_000


Point = namedtuple("Point", "x y")

CASES = [
    ((1, (2, 3)), [1, [2, 3]]),
    ({"a"}, ["a"]),
    (frozenset([1]), [1]),
    (deque([1, 2]), [1, 2]),
    (range(3), [0, 1, 2]),
    ({"k": 1}.values(), [1]),
    (Point(1, 2.5), [1, 2.5]),
    (OrderedDict(a=(1,)), {"a": [1]}),
    (datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC), "2026-01-02T03:04:05Z"),
    (datetime.date(2026, 1, 2), "2026-01-02"),
    (datetime.timedelta(seconds=90), "PT1M30S"),
    (pathlib.PurePosixPath("/data/scan"), "/data/scan"),
    (Colour.RED, "red"),
    (Level.LOW, 1),
    (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    (decimal.Decimal("1.50"), "1.50"),
    (b"text", "text"),
    (Well("A", (1, 2)), {"row": "A", "dose": [1, 2]}),
    (
        Fit(name="f", path=pathlib.PurePosixPath("/x"), extra=FakeScalar(3)),
        {"name": "f", "path": "/x", "extra": 3},
    ),
    (Rounded(value=1.26), {"value": "1.3"}),
    (FakeScalar(True), True),
    ([FakeScalar([1, FakeScalar(2.5)])], [[1, 2.5]]),
    (
        {1: "a", None: "b", 2.5: "c", Colour.RED: "d"},
        {"1": "a", "None": "b", "2.5": "c", "red": "d"},
    ),
]


@pytest.mark.parametrize(("value", "expected"), CASES, ids=[repr(value) for value, _ in CASES])
def test_standard_type_has_a_json_form(value: object, expected: object) -> None:
    assert json.loads(encode_value({"deep": [value]}, "result")) == {"deep": [expected]}


@pytest.mark.parametrize(("value", "expected"), CASES, ids=[repr(value) for value, _ in CASES])
def test_progress_data_have_the_same_form_as_a_result(value: object, expected: object) -> None:
    report = json.loads(encode_progress(data={"value": value}))  # type: ignore[dict-item]
    assert report["data"] == {"value": expected}


REFUSED = [
    ({"found": object()}, "result.found is of type object, which JSON cannot carry"),
    ((1, Well("A", float("nan"))), r"result[1].dose is nan, which JSON cannot carry"),
    ([FakeScalar(math.inf)], "result[0] is inf, which JSON cannot carry"),
    ({1: "a", "1": "b"}, "result has two keys that are '1' in JSON"),
    ({(1, 2): "a"}, "result has a key of type tuple; JSON keys are strings"),
    ({"a": b"\xff"}, "result.a is bytes that are not UTF-8"),
    ((part for part in "ab"), "result is of type generator, which JSON cannot carry"),
    (
        {"image": FakeArray([0])},
        "result.image is an array of 2,000,000 items, more than",
    ),
    (range(10**9), "result is an array of 1,000,000,000 items"),
    (Fit(name="f", path=pathlib.PurePosixPath("/x"), extra=object()), "result is of type object"),
    ([decimal.Decimal("NaN")], "result[0] is nan, which JSON cannot carry"),
    ((0, decimal.Decimal("sNaN")), "result[1] is nan, which JSON cannot carry"),
    ([decimal.Decimal("-Infinity")], "result[0] is -inf, which JSON cannot carry"),
    ({"z": 1 + 2j}, "result.z is complex, which JSON cannot carry"),
    (("\ud800",), "result[0] contains a lone surrogate"),
]


@pytest.mark.parametrize(("value", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_error_names_the_path_and_the_type(value: object, words: str) -> None:
    with pytest.raises(DecodeError) as caught:
        encode_value(value, "result")
    assert words in str(caught.value)


def test_type_is_named_with_its_module() -> None:
    numpy_like = type("bool", (), {"__module__": "numpy"})
    with pytest.raises(DecodeError, match=r"^result\.found is of type numpy\.bool, "):
        encode_value({"found": numpy_like()}, "result")


def test_recursive_value_is_refused_in_any_container() -> None:
    inner: list[object] = []
    inner.append((inner,))
    with pytest.raises(DecodeError, match="nested deeper than 190 levels"):
        encode_value({1: inner}, "result")


def test_non_finite_numbers_become_null_or_strings_on_request() -> None:
    value = {"a": (math.nan, decimal.Decimal("Infinity"), -math.inf, 1.5)}
    assert to_json_value(value, non_finite="null") == {"a": [None, None, None, 1.5]}
    assert to_json_value(value, non_finite="strings") == {
        "a": ["NaN", "Infinity", "-Infinity", 1.5]
    }
    with pytest.raises(ValueError, match="invalid non_finite 'zero': use 'refuse', 'null' or"):
        to_json_value(value, non_finite="zero")  # type: ignore[arg-type]


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(_json)
def test_json_value_is_converted_to_itself(value: Any) -> None:
    assert to_json_value(value) == value


def test_numpy_values_have_a_json_form() -> None:
    numpy = pytest.importorskip("numpy")
    value = {
        "bool": numpy.bool_(True),
        "int": numpy.int64(3),
        "float": numpy.float32(1.5),
        "long": numpy.longdouble(1.5),
        "text": numpy.str_("é"),
        "date": numpy.datetime64("2026-01-02"),
        "array": numpy.arange(4).reshape(2, 2),
        "zero": numpy.array(7),
        numpy.int64(1): (numpy.float64(0.5),),
    }
    assert json.loads(encode_value(value, "result")) == {
        "bool": True,
        "int": 3,
        "float": 1.5,
        "long": 1.5,
        "text": "é",
        "date": "2026-01-02",
        "array": [[0, 1], [2, 3]],
        "zero": 7,
        "1": [0.5],
    }
    with pytest.raises(DecodeError, match=r"^result\[1\] is nan"):
        encode_value(numpy.array([0.0, numpy.nan]), "result")
    with pytest.raises(DecodeError, match="an array of 2,000,000 items"):
        encode_value(numpy.zeros(2_000_000), "result")


@pytest.mark.parametrize("unit", ["Y", "D", "s", "ms", "us", "ns", "as"])
def test_dates_of_numpy_become_text_in_every_unit(unit: str) -> None:
    numpy = pytest.importorskip("numpy")
    date = numpy.datetime64("1970-01-01", unit)
    text = numpy.datetime_as_string(date)
    value = {"one": date, "all": numpy.array([[date, date]]), "zero": numpy.array(date)}
    assert to_json_value(value) == {"one": text, "all": [[text, text]], "zero": text}


def test_missing_date_of_numpy_is_treated_as_a_non_finite_number() -> None:
    numpy = pytest.importorskip("numpy")
    value = numpy.array(["2026-01-02", "NaT"], "datetime64[D]")
    assert to_json_value(value, non_finite="null") == ["2026-01-02", None]
    assert to_json_value(value, non_finite="strings") == ["2026-01-02", "NaT"]
    with pytest.raises(DecodeError, match=r"^result\[1\] is NaT, which JSON cannot carry"):
        encode_value(value, "result")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("complex64", "is complex, which JSON cannot carry"),
        ("complex128", "is complex, which JSON cannot carry"),
        ("timedelta64[ns]", "is a timedelta64 of numpy, which JSON cannot carry"),
        ("timedelta64[s]", "is a timedelta64 of numpy, which JSON cannot carry"),
        ([("x", "f8"), ("y", "i4")], "has named fields, which a JSON array cannot have"),
    ],
)
def test_array_that_would_lose_its_meaning_is_refused(kind: Any, words: str) -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.zeros(2, kind)
    for value in (array, array[0]):
        with pytest.raises(DecodeError, match=rf"^result\.found {words}"):
            encode_value({"found": value}, "result")
