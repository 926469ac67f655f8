"""Validation of arguments in the constructors that take them: each error names its argument."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["check_directory", "check_file_name", "check_number", "check_type", "parse_choice"]

_E = TypeVar("_E", bound=StrEnum)


def check_number(
    name: str,
    value: object,
    *,
    ge: float = -math.inf,
    gt: float = -math.inf,
    le: float = math.inf,
    whole: bool = False,
    optional: bool = False,
) -> None:
    """Raise unless ``value`` is a number in a range; NaN is in no range.

    Args:
        name: the argument's name, for the error.
        value: the argument.
        ge: the smallest valid value.
        gt: a bound that the value has to exceed.
        le: the largest valid value.
        whole: whether only integers are valid.
        optional: whether None is valid.

    Raises:
        TypeError: it is no number, or no integer.
        ValueError: it is out of range.
    """
    if value is None and optional:
        return
    if not isinstance(value, int if whole else int | float) or isinstance(value, bool):
        kind = "a whole number" if whole else "a number"
        raise TypeError(f"{name} has to be {kind}, not {_shorten(value)}")
    if not (ge <= value <= le and (value > gt or gt == -math.inf)):
        raise ValueError(f"{name} is {value:,}: it has to be {_describe_range(ge, gt, le)}")


def check_type(name: str, value: object, *types: type[Any], optional: bool = False) -> None:
    """Raise unless ``value`` is an instance of one of these types.

    Raises:
        TypeError: it is of another type.
    """
    if (value is None and optional) or isinstance(value, types):
        return
    known = " or ".join(valid.__name__ for valid in types)
    raise TypeError(f"{name} has to be of type {known}, not {_shorten(value)}")


def parse_choice(name: str, value: str, choices: type[_E]) -> _E:
    """Return the member of an enumeration that is given, as itself or by its value.

    Raises:
        TypeError: it is no string.
        ValueError: the enumeration has no such member.
    """
    check_type(name, value, choices, str)
    try:
        return choices(value)
    except ValueError:
        known = ", ".join(repr(str(choice)) for choice in choices)
        raise ValueError(f"{name} is {_shorten(value)}: it has to be one of {known}") from None


def check_file_name(name: str, value: str) -> None:
    """Raise unless ``value`` can be the first part of a file name.

    Raises:
        TypeError: it is no string.
        ValueError: it is empty, or would name a file of another directory.
    """
    check_type(name, value, str)
    if Path(value).name != value or value in ("", "..") or "\0" in value:
        raise ValueError(f"{name} {_shorten(value)} must do as part of a file name")


def check_directory(name: str, value: Path | str | None) -> Path | None:
    """Return ``value`` as a path; None stays None.

    Raises:
        TypeError: it is neither a path nor a string.
        ValueError: it is empty, or contains a NUL character.
    """
    check_type(name, value, str, Path, optional=True)
    if value is None:
        return None
    if not str(value) or "\0" in str(value):
        raise ValueError(f"{name} {_shorten(value)} must do as the name of a directory")
    return Path(value)


def _describe_range(ge: float, gt: float, le: float) -> str:
    parts = [f"more than {gt:,}"] if gt > -math.inf else []
    if ge > -math.inf:
        parts.append(f"at least {ge:,}")
    if le < math.inf:
        parts.append(f"at most {le:,}")
    return " and ".join(parts) or "a number"


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
