"""Escaping of untrusted text: no escape sequence reaches a terminal."""

from __future__ import annotations

import ast
import pickle
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmqruntime.messages import DecodeError, ErrorCode, ZMQRuntimeError, printable

any_text = st.text(st.characters())  # Lone surrogates as well.
printable_text = st.text(st.characters().filter(str.isprintable))

HARMFUL = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@given(any_text)
def test_output_has_no_control_character(text: str) -> None:
    shown = printable(text)
    assert not {unicodedata.category(c) for c in shown.replace("\t", "")} & HARMFUL
    shown.encode()  # No lone surrogate is left.


@given(any_text)
def test_escaping_is_idempotent(text: str) -> None:
    assert printable(printable(text)) == printable(text)


@given(printable_text)
def test_printable_text_is_unchanged(text: str) -> None:
    assert printable(text) == text
    assert printable(text, newline="\n") == text


@given(st.text(st.characters(exclude_characters="\\")))
def test_escapes_can_be_read_back_as_python_literals(text: str) -> None:
    literal = printable(text).replace('"', '\\"')
    assert ast.literal_eval(f'"{literal}"') == text


@given(any_text, st.sampled_from(["\n", "\n    ", " | "]))
def test_line_breaks_are_replaced_by_newline(text: str, newline: str) -> None:
    lines = text.replace("\r\n", "\n").split("\n")
    assert printable(text, newline=newline) == newline.join(map(printable, lines))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain Grüße 漢字 שלום 🙂", "plain Grüße 漢字 שלום 🙂"),
        (r"C:\temp", r"C:\temp"),
        ("a\tb", "a\tb"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("a\nb\r\nc\rd", r"a\nb\r\nc\rd"),
        ("\x9b2J\x7f\x00", r"\x9b2J\x7f\x00"),
        ("a\u2028b\u2029c\x85d", r"a\u2028b\u2029c\x85d"),
        ("\u202eexe.txt\u2066\u200f", r"\u202eexe.txt\u2066\u200f"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_each_kind_of_harmful_character_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_carriage_return_within_a_line_does_not_break_the_line() -> None:
    assert printable("10 %\r20 %\r\nend", newline="\n") == "10 %\\r20 %\nend"


@pytest.mark.parametrize(
    "error", [ZMQRuntimeError("a\x1b[2J\nb\x9b"), ZMQRuntimeError("x", "\x1b")]
)
def test_text_of_an_error_is_safe_to_print(error: ZMQRuntimeError) -> None:
    assert "\x1b" not in str(error)
    assert pickle.loads(pickle.dumps(error)).args == error.args


def test_text_of_a_message_error_is_escaped_and_its_attribute_is_not() -> None:
    error = DecodeError(ErrorCode.MALFORMED, "field \x1b[31m\nline 2")
    assert str(error) == "field \\x1b[31m\nline 2"
    assert error.message == "field \x1b[31m\nline 2"
