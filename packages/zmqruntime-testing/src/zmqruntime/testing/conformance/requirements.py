"""The numbered sentences of the protocol page, and those that no check from outside can judge.

The page says it first: ``docs/reference/protocol.md``. What is shipped here is read from it by
``python -m zmqruntime.testing.conformance.coverage``, and a test tells when they differ.
"""

from __future__ import annotations

import re
from importlib import resources

__all__ = ["NOT_CHECKABLE", "load_requirements", "parse_requirements"]

_FILE = "requirements.txt"
_MARK = re.compile(r"\[(C-\d{3})\]\{#c-\d{3}\} *")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")
_ITEM = re.compile(r"\n(?=\* |\d+\. |\|)")

_JOURNAL = "It takes a server with a transcript, and its end."
_CLIENT = "It says what a client does."

NOT_CHECKABLE: dict[str, str] = {
    "C-003": "Which addresses a server was told to bind to is not seen from the one that is known.",
    "C-021": _CLIENT,
    "C-043": "What a pong costs the server is not seen; and a measured time is no proof.",
    "C-106": "It takes a defect of the server.",
    "C-107": _CLIENT,
    "C-152": "It says what C-139 is for, which is checked.",
    "C-166": "It says what a server may leave out, which is no fault either way.",
    "C-171": _JOURNAL,
    "C-172": _JOURNAL,
    "C-173": "It takes a disk that is full or fails.",
    "C-175": "Which policy a server has is not told.",
    "C-179": _JOURNAL,
    "C-180": _JOURNAL,
    "C-222": "To find the bound would end the connections of other clients of that server.",
    "C-223": "To find the bound would have the registrations of other clients refused.",
    "C-232": "It says what a server may do; and one that looks is right as well.",
    "C-233": "It says what a server may do; and one that compares more is right as well.",
    "C-234": "How much a peer may leave unread is not told, and may be any amount.",
    "C-235": "How much it takes until a server holds replies back is not told.",
    "C-236": "It takes peers that leave as much unread as a server keeps.",
    "C-242": _CLIENT,
    "C-283": "It says what a server may leave out, which is no fault either way.",
    "C-273": "It takes as many executions as a server keeps.",
    "C-274": "It takes as many executions as a server keeps.",
    "C-275": "It takes as many executions as a server keeps.",
    "C-276": _JOURNAL,
    "C-153": "How far behind a subscriber may be is not told, and may be any number.",
}
"""The numbers that no check has, each with the reason."""


def parse_requirements(page: str) -> dict[str, str]:
    """Return the sentences of a page by number.

    A number names what stands between it and the next one, or the end of its paragraph, list
    item or table row.
    """
    sentences: dict[str, str] = {}
    for block in re.split(r"\n\n+", page):
        for item in _ITEM.split(block):
            _, *parts = _MARK.split(item)
            for number, text in zip(parts[::2], parts[1::2], strict=True):
                if number in sentences:
                    raise ValueError(f"{number} stands twice on the page")
                sentences[number] = _plain(text)
    return sentences


def load_requirements() -> dict[str, str]:
    """Return the sentences that are shipped, by number."""
    text = resources.files(__package__).joinpath(_FILE).read_text("utf-8")
    return dict(line.split(" ", 1) for line in text.splitlines())


def _plain(text: str) -> str:
    """Return a sentence as one line without links; of a row, the cells that are not empty."""
    text = _LINK.sub(r"\1", " ".join(text.split()))
    cells = [cell.strip() for cell in text.split("|")]
    return ": ".join(filter(None, cells)) if len(cells) > 1 else text
