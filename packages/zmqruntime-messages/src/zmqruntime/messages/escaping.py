"""Text of another party, made harmless for a terminal and for a log file."""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: str, *, newline: str | None = None) -> str:
    r"""Return ``text`` with every character escaped that a terminal or a reader could act on.

    What a peer or a task has written can hold escape sequences (ECMA-48), control characters
    (C0, C1), line and paragraph separators, bidirectional controls (Unicode UAX #9, "Trojan
    Source") and lone surrogates. Each character for which `str.isprintable` is false becomes the
    escape of a Python string literal: ``\x1b``, ``\u202e``. Tabs stay. A text without such
    characters is returned unchanged, backslashes included.

    Args:
        text: what to show; it is data, never an instruction to a terminal.
        newline: what a line break (``\n``, ``\r\n``) becomes, such as ``"\n"`` or, for lines that
            have to differ from the first one, ``"\n    "``. None: the escape ``\n``.
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
