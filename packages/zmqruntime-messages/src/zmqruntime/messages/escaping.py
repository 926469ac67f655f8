"""Escaping of untrusted text for terminals and log files."""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: str, *, newline: str | None = None) -> str:
    r"""Escape all characters in ``text`` that are not printable.

    Text from a peer or a task can contain escape sequences (ECMA-48), control characters
    (C0, C1), line and paragraph separators, bidirectional controls (Unicode UAX #9, "Trojan
    Source") and lone surrogates. Each character for which `str.isprintable` is false becomes the
    escape of a Python string literal: ``\x1b``, ``\u202e``. Tabs and backslashes are unchanged.

    Args:
        text: the untrusted text.
        newline: the replacement of a line break (``\n``, ``\r\n``), such as ``"\n"``, or
            ``"\n    "`` to indent continuation lines. None: the escape ``\n``.
    """
    if text.isprintable():
        return text
    if newline is None:
        return _escape(text)
    return newline.join(map(_escape, text.replace("\r\n", "\n").split("\n")))


def _escape(line: str) -> str:
    return "".join([c if c.isprintable() or c == "\t" else _escape_of(c) for c in line])


def _escape_of(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
