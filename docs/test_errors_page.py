"""The errors page lists all exception classes and codes."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from zmqruntime.execution.errors import RequestRejected, rejection
from zmqruntime.messages import ErrorCode, ErrorReply, ZMQRuntimeError

PAGE = (Path(__file__).parent / "reference" / "errors.md").read_text("utf-8")


def find_errors() -> set[str]:
    """Return the names of the public exceptions of the packages of a client."""
    found = set()
    for package in ("messages", "transport", "execution"):
        module = importlib.import_module(f"zmqruntime.{package}")
        for name in module.__all__:
            value = getattr(module, name)
            if isinstance(value, type) and issubclass(value, ZMQRuntimeError):
                found.add(name)
    return found


def test_tree_of_the_page_has_every_error() -> None:
    tree = PAGE.partition("```\n")[2].partition("```")[0]

    assert find_errors() - set(re.findall(r"\w+", tree)) == set()


def test_table_of_codes_has_every_code_with_its_class() -> None:
    table = PAGE.partition("## Codes\n")[2].partition("\n## ")[0]
    listed = dict(re.findall(r"^\| `(\w+)` \| (?:`(\w+)`)? ?\|", table, re.MULTILINE))
    classes = {code: type(rejection(ErrorReply(code=code, message=""))) for code in ErrorCode}

    assert listed == {
        code.value: "" if kind is RequestRejected else kind.__name__
        for code, kind in classes.items()
    }
