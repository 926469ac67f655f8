"""The reference by role: which public name is documented on which page.

A page lists its names in an ``api`` block, one per line; each is documented at the first package
that exports it. An ``api-rest`` block names packages, and stands for those of their names that no
page lists. A name that moves to another package needs no change in the pages.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGES = [
    f"zmqruntime.{name}"
    for name in (
        "messages",
        "messages.lowlevel",
        "transport",
        "transport.lowlevel",
        "execution",
        "execution.lowlevel",
        "testing",
        "testing.conformance",
        "testing.contracts",
    )
]
"""Packages with a public API, in lookup order; the ones named lowlevel may not exist."""

_REFERENCE = Path(__file__).parents[1] / "reference"
_BLOCK = re.compile(r"^```\{(api|api-rest)\}\n(.*?)^```", re.MULTILINE | re.DOTALL)
_DATA = re.compile(r"^\.\. py:data:: (\w+(?:\n {4,}\w+$)*)", re.MULTILINE)


def list_public(package: str) -> list[str]:
    """Return the public names of a package; empty when it does not exist."""
    try:
        return [name for name in importlib.import_module(package).__all__ if name[0] != "_"]
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        return []


def find_package(name: str) -> str:
    """Return the first package that exports a name."""
    for package in PACKAGES:
        if name in list_public(package):
            return package
    raise LookupError(f"no package exports {name!r}: correct the api block that lists it")


def list_pages_by_name() -> dict[str, list[str]]:
    """Return the pages of each name that an ``api`` block or a ``py:data`` directive lists."""
    pages: dict[str, list[str]] = {}
    for page in sorted(_REFERENCE.glob("*.md")):
        text = page.read_text("utf-8")
        blocks = [names for kind, names in _BLOCK.findall(text) if kind == "api"]
        for names in blocks + _DATA.findall(text):
            for name in names.split():
                pages.setdefault(name, []).append(page.name)
    return pages


def list_rest(package: str) -> list[str]:
    """Return the names that are documented at a package and that no page lists."""
    listed = list_pages_by_name()
    return [
        name
        for name in list_public(package)
        if name not in listed and find_package(name) == package
    ]


def compose_api(name: str) -> Iterator[str]:
    """Yield the reStructuredText that documents a name."""
    package = find_package(name)
    value = getattr(importlib.import_module(package), name)
    kind = "data"
    if inspect.isclass(value):
        kind = "exception" if issubclass(value, BaseException) else "class"
    elif inspect.isfunction(value):
        kind = "function"
    yield f".. auto{kind}:: {package}.{name}"
    yield ""


def expand_blocks(text: str) -> str:
    """Replace each ``api`` and ``api-rest`` block of a page by directives of autodoc."""

    def expand(block: re.Match[str]) -> str:
        names = block[2].split()
        if block[1] == "api-rest":
            names = [name for package in names for name in list_rest(package)]
        return "\n".join(
            ["```{eval-rst}", *(part for n in names for part in compose_api(n)), "```"]
        )

    return _BLOCK.sub(expand, text)
