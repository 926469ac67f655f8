"""Errors of invalid arguments: each names the argument, its value and the valid ones."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from zmqruntime.transport import TransportMode
from zmqruntime.transport.validation import check_number, check_type, parse_choice


@pytest.mark.parametrize(
    ("value", "limits"),
    [
        (3, {"ge": 3, "le": 3, "whole": True}),
        (0.5, {"gt": 0}),
        (math.inf, {"gt": 0}),
        (-2.5, {}),
        (None, {"optional": True, "ge": 1}),
    ],
)
def test_number_in_range_is_valid(value: object, limits: dict[str, Any]) -> None:
    check_number("size", value, **limits)


@pytest.mark.parametrize(
    ("value", "limits", "message"),
    [
        (2, {"ge": 3}, "size is 2: it has to be at least 3"),
        (0, {"gt": 0, "le": 9}, "size is 0: it has to be more than 0 and at most 9"),
        (10, {"gt": 0, "le": 9}, "size is 10: it has to be more than 0 and at most 9"),
        (math.nan, {}, "size is nan: it has to be a number"),
        (math.nan, {"ge": 0}, "size is nan: it has to be at least 0"),
    ],
)
def test_number_out_of_range_raises_value_error(
    value: object, limits: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        check_number("size", value, **limits)


@pytest.mark.parametrize(
    ("value", "whole", "message"),
    [
        ("3", False, "size has to be a number, not '3'"),
        (None, False, "size has to be a number, not None"),
        (True, True, "size has to be a whole number, not True"),
        (2.5, True, r"size has to be a whole number, not 2\.5"),
        ("x" * 200, True, rf"size has to be a whole number, not '{'x' * 79}\.\.\."),
    ],
)
def test_value_of_another_kind_raises_type_error(value: object, whole: bool, message: str) -> None:
    with pytest.raises(TypeError, match=f"^{message}$"):
        check_number("size", value, whole=whole)


def test_type_error_names_argument_and_types() -> None:
    check_type("place", Path(), str, Path)
    check_type("place", None, Path, optional=True)
    with pytest.raises(TypeError, match=r"^place has to be of type str or Path, not 5$"):
        check_type("place", 5, str, Path)
    with pytest.raises(TypeError, match=r"^place has to be of type Path, not None$"):
        check_type("place", None, Path)


def test_enumeration_member_is_parsed_from_its_value_only() -> None:
    assert parse_choice("mode", "tcp", TransportMode) is TransportMode.TCP
    assert parse_choice("mode", TransportMode.IPC, TransportMode) is TransportMode.IPC
    with pytest.raises(ValueError, match=r"^mode is 'TCP': it has to be one of 'ipc', 'tcp'$"):
        parse_choice("mode", "TCP", TransportMode)
    with pytest.raises(TypeError, match=r"^mode has to be of type TransportMode or str, not 1$"):
        parse_choice("mode", 1, TransportMode)  # type: ignore[arg-type]
