"""The numbered requirements of the protocol, and those that cannot be checked from outside.

Their source is ``docs/reference/protocol.md``. The module `coverage` writes ``requirements.txt``
from it, and a test compares the two.
"""

from __future__ import annotations

import re
from importlib import resources

__all__ = ["NOT_CHECKABLE", "load_requirements", "parse_requirements"]

_FILE = "requirements.txt"
_MARK = re.compile(r"\[(C-\d{3})\]\{#c-\d{3}\} *")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")
_ITEM = re.compile(r"\n(?=\* |\d+\. |\|)")

_JOURNAL = "Needs a server with a journal, and a restart."
_CLIENT = "A requirement for clients."

NOT_CHECKABLE: dict[str, str] = {
    "C-003": "The addresses that a server was configured to bind to are not visible.",
    "C-021": _CLIENT,
    "C-043": "The cost of a pong is not visible, and a measured time is not conclusive.",
    "C-106": "Needs a defect of the server.",
    "C-107": _CLIENT,
    "C-152": "The purpose of C-139, which is checked.",
    "C-166": "An optional field: both variants conform.",
    "C-171": _JOURNAL,
    "C-172": _JOURNAL,
    "C-173": "Needs a disk that is full or fails.",
    "C-175": "The queue policy of a server is not visible.",
    "C-179": _JOURNAL,
    "C-180": _JOURNAL,
    "C-222": "Reaching the limit would close connections of other clients.",
    "C-223": "Reaching the limit would reject registrations of other clients.",
    "C-232": "An option of the server: validation conforms as well.",
    "C-233": "An option of the server: a stricter comparison conforms as well.",
    "C-234": "The limit of unread data per peer is not visible, and may be any amount.",
    "C-235": "The limit at which a server holds replies back is not visible.",
    "C-236": "Needs peers with as much unread data as a server keeps.",
    "C-242": _CLIENT,
    "C-283": "An optional field: both variants conform.",
    "C-273": "Needs as many executions as a server keeps.",
    "C-274": "Needs as many executions as a server keeps.",
    "C-275": "Needs as many executions as a server keeps.",
    "C-276": _JOURNAL,
    "C-153": "The buffer limit of a subscriber is not visible, and may be any number.",
}
"""The requirements without a check, each with the reason."""


def parse_requirements(page: str) -> dict[str, str]:
    """Return the requirements of a page by number.

    A requirement is the text from its number to the next one, or to the end of the paragraph, list
    item or table row.
    """
    requirements: dict[str, str] = {}
    for block in re.split(r"\n\n+", page):
        for item in _ITEM.split(block):
            _, *parts = _MARK.split(item)
            for number, text in zip(parts[::2], parts[1::2], strict=True):
                if number in requirements:
                    raise ValueError(
                        f"duplicate requirement {number} on the protocol page: number it anew"
                    )
                requirements[number] = _plain(text)
    return requirements


def load_requirements() -> dict[str, str]:
    """Return the shipped requirements by number."""
    text = resources.files(__package__).joinpath(_FILE).read_text("utf-8")
    return dict(line.split(" ", 1) for line in text.splitlines())


def _plain(text: str) -> str:
    """Return a requirement as one line without links; of a table row, the non-empty cells."""
    text = _LINK.sub(r"\1", " ".join(text.split()))
    cells = [cell.strip() for cell in text.split("|")]
    return ": ".join(filter(None, cells)) if len(cells) > 1 else text
