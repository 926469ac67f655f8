"""What an application gives to a constructor is looked at there, and refused by name.

What is taken unseen is told much later, by somebody else, in the words of another library.
"""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["check_directory", "check_file_name", "check_kind", "check_number", "check_word"]

_W = TypeVar("_W", bound=StrEnum)


def check_number(
    name: str,
    value: object,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    whole: bool = False,
    optional: bool = False,
) -> None:
    """Refuse what is no number, or out of its range; NaN is out of every range.

    Args:
        name: what the caller knows it by.
        value: what was given.
        least: the smallest that will do.
        above: what it has to be more than.
        most: the largest that will do.
        whole: whether it has to be an integer.
        optional: whether None will do.

    Raises:
        TypeError: it is no number, or none of that kind.
        ValueError: it is out of its range.
    """
    if value is None and optional:
        return
    if not isinstance(value, int if whole else int | float) or isinstance(value, bool):
        kind = "a whole number" if whole else "a number"
        raise TypeError(f"{name} has to be {kind}, not {_shown(value)}")
    if not (least <= value <= most and (value > above or above == -math.inf)):
        raise ValueError(f"{name} is {value:,}: it has to be {_range(least, above, most)}")


def check_kind(name: str, value: object, *kinds: type[Any], optional: bool = False) -> None:
    """Refuse what is none of these kinds.

    Raises:
        TypeError: it is of another kind.
    """
    if (value is None and optional) or isinstance(value, kinds):
        return
    known = " or ".join(kind.__name__ for kind in kinds)
    raise TypeError(f"{name} has to be of type {known}, not {_shown(value)}")


def check_word(name: str, value: str, words: type[_W]) -> _W:
    """Return the member of an enumeration that was given, or named by its word.

    Raises:
        TypeError: it is no string.
        ValueError: it is none of them.
    """
    check_kind(name, value, words, str)
    try:
        return words(value)
    except ValueError:
        known = ", ".join(repr(str(word)) for word in words)
        raise ValueError(f"{name} is {_shown(value)}: it has to be one of {known}") from None


def check_file_name(name: str, value: str) -> None:
    """Refuse what cannot be the first part of a file name.

    Raises:
        TypeError: it is no string.
        ValueError: it is empty, or leads to another directory.
    """
    check_kind(name, value, str)
    if Path(value).name != value or value in ("", "..") or "\0" in value:
        raise ValueError(f"{name} {_shown(value)} must do as part of a file name")


def check_directory(name: str, value: Path | str | None) -> Path | None:
    """Return the path that was given, or None when none was.

    Raises:
        TypeError: it is neither a path nor a string.
        ValueError: it is empty, or no name of a directory.
    """
    check_kind(name, value, str, Path, optional=True)
    if value is None:
        return None
    if not str(value) or "\0" in str(value):
        raise ValueError(f"{name} {_shown(value)} must do as the name of a directory")
    return Path(value)


def _range(least: float, above: float, most: float) -> str:
    parts = [f"more than {above:,}"] if above > -math.inf else []
    if least > -math.inf:
        parts.append(f"at least {least:,}")
    if most < math.inf:
        parts.append(f"at most {most:,}")
    return " and ".join(parts) or "a number"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
