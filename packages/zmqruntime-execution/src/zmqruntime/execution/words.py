"""A word for something that has a few known ones, as an application gives it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeVar

__all__ = ["read_word"]

_E = TypeVar("_E", bound=StrEnum)


def read_word(name: str, value: Any, kind: type[_E]) -> _E:
    """Return the member that a word stands for.

    Args:
        name: what the caller knows it by.
        value: what was given: a member, or its word.
        kind: what is known.

    Raises:
        ValueError: it is none of them.
    """
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(repr(member.value) for member in kind)
        raise ValueError(f"{name} is {value!r}: it has to be one of {known}") from None
