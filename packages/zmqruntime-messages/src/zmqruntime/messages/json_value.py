"""JSON values (RFC 8259) in application-defined fields, validated completely."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, ValidationInfo
from pydantic_core import PydanticCustomError, to_json

if TYPE_CHECKING:
    from pydantic import JsonValue

__all__ = ["MAX_NESTING", "JsonObject", "JsonValue"]

MAX_NESTING: Final = 190
"""The maximum nesting of arrays and objects in a JSON value (jiter, under pydantic, reads 200)."""

Path = tuple[int | str, ...]
"""Path to a part of a value: keys and indices."""

_T = TypeVar("_T")

_MAX_DIGITS: Final = 4000  # of an integer; Python reads 4300, jiter about as many
_TOO_LONG: Final = 10**_MAX_DIGITS

_PLAIN_KEY: Final = re.compile(r"[\w-]+")
_MAX_KEY_SHOWN: Final = 80
_MAX_PARTS_SHOWN: Final = 16


def find_fault(value: Any, levels: int = MAX_NESTING) -> tuple[Path, str] | None:
    """Return the path to the first part of ``value`` that is not JSON, and why; None if valid.

    ``levels`` is the maximum nesting of its arrays and objects.
    """
    if _is_plain(value):
        return None
    if isinstance(value, (dict, list)):
        problem = _find_problem_of_container(value, levels)
        if problem:
            return (), problem
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if not _is_plain(item) and (fault := find_fault(item, levels - 1)):
                path, problem = fault
                return (key, *path), problem
        return None
    problem = _find_problem_of_leaf(value)
    return ((), problem) if problem else None


def join_path(path: Sequence[int | str], root: str = "") -> str:
    """Return a path from ``root`` in short notation: ``task.a[0]``."""
    text = root
    for part in path[:_MAX_PARTS_SHOWN]:
        if isinstance(part, str) and len(part) > _MAX_KEY_SHOWN:
            part = f"{part[:_MAX_KEY_SHOWN]}..."
        if isinstance(part, str) and _PLAIN_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{part!r}]"
    return text if len(path) <= _MAX_PARTS_SHOWN else f"{text}..."


def _type_name(value: object) -> str:
    """Return the full name of a value's type: ``numpy.bool_``, ``int``."""
    kind = type(value)
    where = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{where}{kind.__qualname__}"


def _is_plain(value: Any) -> bool:
    """Fast path: whether a value is a valid leaf, as nearly every leaf is."""
    kind = type(value)
    return (
        (kind is str and value.isascii())
        or value is None
        or (kind is float and isfinite(value))
        or (kind is int and -_TOO_LONG < value < _TOO_LONG)
    )


def _find_problem_of_container(value: dict[Any, Any] | list[Any], levels: int) -> str | None:
    if levels == 0:
        return f"is nested deeper than {MAX_NESTING} levels, or contains itself"
    for key in value if isinstance(value, dict) else ():
        if type(key) is str and key.isascii():
            continue
        if not isinstance(key, str):
            return f"has a key of type {_type_name(key)}; JSON keys are strings"
        if not _is_unicode(key):
            return f"has a key, {key!r}, with a lone surrogate"
    return None


def _find_problem_of_leaf(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return (
            None if _is_unicode(value) else "contains a lone surrogate, which UTF-8 cannot encode"
        )
    if isinstance(value, int):
        is_readable = -_TOO_LONG < value < _TOO_LONG
        return None if is_readable else f"is an integer of more than {_MAX_DIGITS} digits"
    if isinstance(value, float):
        return None if isfinite(value) else f"is {value}, which JSON cannot carry"
    return f"is of type {_type_name(value)}, which JSON cannot carry"


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _require_json(value: _T, info: ValidationInfo) -> _T:
    # A parsed value is JSON except for numbers such as 1e999, which are parsed as infinite. The
    # search costs a twentieth of a walk through the value.
    if info.mode == "json" and b"Infinity" not in to_json(value, inf_nan_mode="constants"):
        return value
    if fault := find_fault(value):
        path, problem = fault
        raise PydanticCustomError("not_json", "{problem}", {"problem": problem, "path": path})
    return value


# pydantic's JsonValue accepts 1e999 as infinity, and adds its members to the path of an error.
if TYPE_CHECKING:
    JsonObject = dict[str, JsonValue]
else:
    JsonValue = Annotated[Any, AfterValidator(_require_json)]
    """Null, a boolean, a number, a string, an array of JSON values, or an object of them."""

    JsonObject = Annotated[dict[Any, Any], AfterValidator(_require_json)]
    """A JSON object."""
