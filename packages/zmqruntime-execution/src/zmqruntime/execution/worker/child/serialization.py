"""Converts Python values to JSON values, for results and progress data.

Standard types are converted as pydantic converts them in JSON mode
(https://docs.pydantic.dev/latest/concepts/conversion_table/); numbers and arrays of numpy and
similar libraries are recognised by their methods, without an import of these libraries.
"""

from __future__ import annotations

import dataclasses
import os
from collections import deque
from collections.abc import Iterator, Mapping, Set, ValuesView
from decimal import Decimal
from enum import Enum
from math import isfinite, isnan, nan
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_jsonable_python

from zmqruntime.messages import MAX_NESTING, DecodeError, JsonValue
from zmqruntime.messages.lowlevel import encode_json

__all__ = ["encode_value", "to_json_value"]

NonFinite = Literal["refuse", "null", "strings"]
_Path = tuple[int | str, ...]

_MAX_ARRAY_ITEMS: Final = 1_000_000
"""Limit of one array: a larger one belongs in a file."""

_PLAIN: Final = frozenset({str, int, bool, type(None)})


def encode_value(value: object, name: str) -> bytes:
    """Return ``value`` as JSON, converted by `to_json_value` unless it is a JSON value.

    Args:
        value: the value.
        name: the root of the paths in an error, such as ``result``.

    Raises:
        DecodeError: a part of it has no JSON form; the error has the path and the type.
    """
    try:
        return encode_json(value, name)  # Most values are JSON values: one pass, and no copy.
    except DecodeError:
        return encode_json(to_json_value(value, name), name)


def to_json_value(
    value: object, name: str = "value", *, non_finite: NonFinite = "refuse"
) -> JsonValue:
    """Return ``value`` converted to a JSON value.

    Tuples, sets, deques and ranges become arrays; enum members their values; dataclasses and
    pydantic models objects; dates, times, durations (ISO 8601), paths, UUIDs and decimals strings;
    bytes strings, if they are UTF-8; numbers and arrays of numpy, and of other libraries that
    have ``tolist()``, numbers and arrays, of up to 1,000,000 items each; ``datetime64`` of numpy
    strings (ISO 8601). Keys that are numbers, booleans, None, dates or enum members become strings.

    A task may call it at its start with an example of its result, to fail before the work.

    Args:
        value: the value.
        name: the root of the paths in an error, such as ``result``.
        non_finite: conversion of NaN and infinities, also of decimals, and of NaT, which JSON does
            not have (RFC 8259, section 6): ``"refuse"`` raises, ``"null"`` returns None,
            ``"strings"`` returns ``"NaN"``, ``"Infinity"``, ``"-Infinity"`` and ``"NaT"``.

    Raises:
        DecodeError: a part of it has no JSON form; the error has the path and the type.
        ValueError: ``non_finite`` is invalid.
    """
    if non_finite not in ("refuse", "null", "strings"):
        raise ValueError(f"invalid non_finite {non_finite!r}: use 'refuse', 'null' or 'strings'")
    converted: JsonValue = _Converter(name, non_finite).convert(value, ())
    return converted


class _Converter:
    """Converts one value; the path to the current part is passed along for errors."""

    def __init__(self, name: str, non_finite: NonFinite) -> None:
        self._name = name
        self._non_finite = non_finite

    def convert(self, value: Any, path: _Path) -> Any:
        kind = type(value)
        if kind in _PLAIN:
            return value
        if len(path) > MAX_NESTING:
            raise self._error((), f"is nested deeper than {MAX_NESTING} levels, or contains itself")
        if isinstance(value, float):
            return self._convert_float(float(value), path)
        if isinstance(value, Enum):
            return self.convert(value.value, path)
        if isinstance(value, BaseModel):
            return self._convert_model(value, path)
        if isinstance(value, Mapping):
            return self._convert_mapping(value, path)
        if isinstance(value, range):
            self._check_size(len(value), path)
        if isinstance(value, (list, tuple, Set, deque, range, ValuesView)):
            return [self.convert(item, (*path, n)) for n, item in enumerate(value)]
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = dataclasses.fields(value)
            return {f.name: self.convert(getattr(value, f.name), (*path, f.name)) for f in fields}
        if (convert := getattr(value, "tolist", None)) is not None:
            return self._convert_array(value, convert, path)
        return self._convert_leaf(value, path)

    def _convert_float(self, value: float, path: _Path) -> float | str | None:
        if isfinite(value):
            return value
        word = "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"
        return self._replace(value, word, path)

    def _replace(self, value: object, word: str, path: _Path) -> str | None:
        """Return the replacement of a value that is not finite."""
        if self._non_finite == "null":
            return None
        if self._non_finite == "strings":
            return word
        raise self._error(
            path,
            f"is {value}, which JSON cannot carry: replace it, or return "
            "to_json_value(..., non_finite='null') from serialize_result",
        )

    def _convert_model(self, model: BaseModel, path: _Path) -> Any:
        # By its own serializers; what they do not know, such as an array, is converted here.
        try:
            dumped = model.model_dump(mode="json", fallback=lambda part: self.convert(part, path))
        except PydanticSerializationError as error:
            raise self._error(path, f"cannot be serialized: {error}") from error
        return self.convert(dumped, path)

    def _convert_mapping(self, mapping: Mapping[Any, Any], path: _Path) -> dict[str, Any]:
        converted: dict[str, Any] = {}
        for key, item in mapping.items():
            text = key if type(key) is str else self._convert_key(key, path)
            if text in converted:
                raise self._error(
                    path, f"has two keys that are {text!r} in JSON: {key!r} is one of them"
                )
            converted[text] = self.convert(item, (*path, text))
        return converted

    def _convert_key(self, key: object, path: _Path) -> str:
        plain = self.convert(key, path)
        if plain is None or isinstance(plain, (bool, int, float)):
            return str(to_jsonable_python({plain: None}).popitem()[0])
        if isinstance(plain, str):
            return str(plain)
        raise self._unknown({key: None}, path)

    def _convert_array(self, array: Any, convert: Any, path: _Path) -> Any:
        size = getattr(array, "size", None)
        if callable(size):  # As a tensor's is.
            size = array.numel() if hasattr(array, "numel") else None
        if isinstance(size, int):
            self._check_size(size, path)
        dtype = getattr(array, "dtype", None)
        if getattr(dtype, "names", None):
            problem = "has named fields, which a JSON array cannot have: return a mapping of them"
            raise self._error(path, f"{problem}, {{name: array[name]}}")
        kind = getattr(dtype, "kind", None)
        if kind == "c":
            raise self._complex(path)
        if kind == "m":
            raise self._error(
                path,
                "is a timedelta64 of numpy, which JSON cannot carry: return a number of seconds, "
                "as array / numpy.timedelta64(1, 's') is",
            )
        if kind == "M" and not hasattr(array, "to_numpy"):  # pandas: `tolist` returns its own type.
            # As text: `tolist` returns plain numbers for nanoseconds.
            return self._convert_times(array.astype("U").tolist(), path)
        plain = convert()
        if type(plain) is type(array):  # As for numpy.longdouble, which no Python type holds.
            plain = float(plain)
        return self.convert(plain, path)

    def _convert_times(self, texts: Any, path: _Path) -> Any:
        if isinstance(texts, list):
            return [self._convert_times(item, (*path, n)) for n, item in enumerate(texts)]
        return self._replace("NaT", "NaT", path) if texts == "NaT" else texts

    def _complex(self, path: _Path) -> DecodeError:
        return self._error(
            path, "is complex, which JSON cannot carry: return its real and its imaginary part"
        )

    def _check_size(self, size: int, path: _Path) -> None:
        if size > _MAX_ARRAY_ITEMS:
            raise self._error(
                path,
                f"is an array of {size:,} items, more than {_MAX_ARRAY_ITEMS:,}: write it to a "
                "file and return its path",
            )

    def _convert_leaf(self, value: object, path: _Path) -> Any:
        if isinstance(value, (str, int)):  # A subclass.
            return str.__str__(value) if isinstance(value, str) else int(value)
        if isinstance(value, complex):
            raise self._complex(path)
        if isinstance(value, Decimal) and not value.is_finite():
            return self._convert_float(nan if value.is_nan() else float(value), path)
        if isinstance(value, os.PathLike):
            return self.convert(os.fspath(value), path)
        if isinstance(value, Iterator):
            # It may be infinite, and consuming it would leave nothing for `result_repr`.
            raise self._unknown(value, path)
        try:
            return to_jsonable_python(value, inf_nan_mode="strings")
        except (PydanticSerializationError, ValueError) as error:
            if isinstance(value, (bytes, bytearray, memoryview)):
                problem = "is bytes that are not UTF-8: encode it (base64), or write it to a file"
                raise self._error(path, problem) from error
            raise self._unknown(value, path) from error

    def _unknown(self, value: object, path: _Path) -> DecodeError:
        try:
            encode_json(value)
        except DecodeError as error:
            return self._error(path, error.faults[0].message)
        raise AssertionError(f"{value!r} is a JSON value")

    def _error(self, path: _Path, problem: str) -> DecodeError:
        return DecodeError.of_part(path, self._name, problem)
