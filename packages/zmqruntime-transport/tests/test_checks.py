"""A wrong argument is told by its name, and by what it should have been."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from zmqruntime.transport import TransportMode
from zmqruntime.transport.validation import check_kind, check_number, check_word


@pytest.mark.parametrize(
    ("value", "limits"),
    [
        (3, {"least": 3, "most": 3, "whole": True}),
        (0.5, {"above": 0}),
        (math.inf, {"above": 0}),
        (-2.5, {}),
        (None, {"optional": True, "least": 1}),
    ],
)
def test_what_is_in_its_range_is_taken(value: object, limits: dict[str, Any]) -> None:
    check_number("size", value, **limits)


@pytest.mark.parametrize(
    ("value", "limits", "complaint"),
    [
        (2, {"least": 3}, "size is 2: it has to be at least 3"),
        (0, {"above": 0, "most": 9}, "size is 0: it has to be more than 0 and at most 9"),
        (10, {"above": 0, "most": 9}, "size is 10: it has to be more than 0 and at most 9"),
        (math.nan, {}, "size is nan: it has to be a number"),
        (math.nan, {"least": 0}, "size is nan: it has to be at least 0"),
    ],
)
def test_what_is_out_of_its_range_is_refused(
    value: object, limits: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=f"^{complaint}$"):
        check_number("size", value, **limits)


@pytest.mark.parametrize(
    ("value", "whole", "complaint"),
    [
        ("3", False, "size has to be a number, not '3'"),
        (None, False, "size has to be a number, not None"),
        (True, True, "size has to be a whole number, not True"),
        (2.5, True, r"size has to be a whole number, not 2\.5"),
        ("x" * 200, True, rf"size has to be a whole number, not '{'x' * 79}\.\.\."),
    ],
)
def test_what_is_no_such_number_is_refused(value: object, whole: bool, complaint: str) -> None:
    with pytest.raises(TypeError, match=f"^{complaint}$"):
        check_number("size", value, whole=whole)


def test_a_kind_is_told_by_its_name() -> None:
    check_kind("place", Path(), str, Path)
    check_kind("place", None, Path, optional=True)
    with pytest.raises(TypeError, match=r"^place has to be of type str or Path, not 5$"):
        check_kind("place", 5, str, Path)
    with pytest.raises(TypeError, match=r"^place has to be of type Path, not None$"):
        check_kind("place", None, Path)


def test_a_word_stands_for_a_member_and_no_other_does() -> None:
    assert check_word("mode", "tcp", TransportMode) is TransportMode.TCP
    assert check_word("mode", TransportMode.IPC, TransportMode) is TransportMode.IPC
    with pytest.raises(ValueError, match=r"^mode is 'TCP': it has to be one of 'ipc', 'tcp'$"):
        check_word("mode", "TCP", TransportMode)
    with pytest.raises(TypeError, match=r"^mode has to be of type TransportMode or str, not 1$"):
        check_word("mode", 1, TransportMode)  # type: ignore[arg-type]
