"""Each name of this project that a page mentions exists: modules, paths, classes, methods."""

from __future__ import annotations

import builtins
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import zmq

REPOSITORY = Path(__file__).parents[1]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "packages/*/*.md", ".github/*.md")
    for page in REPOSITORY.glob(pattern)
    if "_build" not in page.parts and page.name != "CHANGELOG.md"
)
PACKAGES = [f"zmqruntime.{name}" for name in ("messages", "transport", "execution", "testing")]
SOURCES = [
    path
    for top in ("packages", "tests-integration", "benchmarks", "examples")
    for path in (REPOSITORY / top).rglob("*.*")
    if path.suffix in {".py", ".ts", ".c"} and "node_modules" not in path.parts
]

# Where a path may begin: at the repository, a package's modules, or a wing of theirs.
ROOTS = [
    REPOSITORY,
    REPOSITORY / "docs",
    *REPOSITORY.glob("packages/*"),
    *REPOSITORY.glob("packages/*/src"),
    *(path.parent for path in REPOSITORY.glob("packages/*/src/zmqruntime/*/__init__.py")),
    *(path.parent.parent for path in REPOSITORY.glob("packages/*/src/zmqruntime/*/__init__.py")),
    REPOSITORY / "packages/zmqruntime-messages/src/zmqruntime/messages/contract",
]
ABSENT = {"zmqruntime/__init__.py"}
"""What pages mention because it does not exist."""
OBJECTS = {
    "client": ("ExecutionClient", "ZMQClient"),
    "handle": ("ExecutionHandle",),
    "context": ("ExecutionContext",),
}
"""What a variable of this name is in the examples."""


def read_code(page: Path) -> Iterator[str]:
    """Yield each piece of inline code of a page."""
    text = re.sub(r"^(`{3,}).*?^\1", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)


@cache
def list_words() -> frozenset[str]:
    """Return every identifier of the sources."""
    return frozenset(
        word for path in SOURCES for word in re.findall(r"\w+", path.read_text("utf-8"))
    )


@cache
def list_loggers() -> frozenset[str]:
    """Return the names of loggers, which look like modules."""
    found = (re.findall(r'getLogger\("([\w.]+)"\)', path.read_text("utf-8")) for path in SOURCES)
    return frozenset(name for names in found for name in names)


@cache
def read_help() -> frozenset[str]:
    """Return the words of the help of `zmqruntime`, its commands among them."""
    run = "from zmqruntime.execution.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", run, "--help"], capture_output=True, text=True, check=True
    )
    return frozenset(re.findall(r"[a-z]+", done.stdout))


def exists(dotted: str) -> bool:
    """Return whether a module, or an attribute of one, has this name."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        return has(value, parts[length:])
    return False


def has(value: object, attributes: list[str]) -> bool:
    """Return whether an object, or a class's instances, have this chain of attributes."""
    for name in attributes:
        known = {*dir(value), *getattr(value, "__annotations__", ())}
        for base in inspect.getmro(value) if inspect.isclass(value) else ():
            known |= {*vars(base).get("__annotations__", ())}
            known |= {*re.findall(r"\bself\.(\w+)", source_of(base))}
        if inspect.isclass(value):
            known |= {*inspect.signature(value).parameters} if has_signature(value) else set()
        if name not in known:
            return False
        value = getattr(value, name, None)
    return True


def has_signature(value: type) -> bool:
    try:
        inspect.signature(value)
    except (TypeError, ValueError):
        return False
    return True


def source_of(value: type) -> str:
    return inspect.getsource(value) if value.__module__.startswith("zmqruntime.") else ""


def find_public(name: str) -> object:
    """Return the public object of a name; None when there is none."""
    for package in PACKAGES:
        if name in importlib.import_module(package).__all__:
            return getattr(importlib.import_module(package), name)
    return None


def is_there(path: str) -> bool:
    """Return whether a path, relative to one of the roots, matches something."""
    pattern = path.strip("/")
    return any(
        next(root.glob(candidate), None) is not None
        for root in ROOTS
        for candidate in (pattern, f"{pattern}.py", f"{pattern}.md")
    )


def find_unknown(page: Path) -> Iterator[str]:
    """Yield what a page names and the repository does not have."""
    # The packages of an api-rest block need not exist.
    text = re.sub(r"```{api-rest}.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for dotted in re.findall(r"(?<![\w./-])zmqruntime(?:\.\w+)+", text):
        if dotted not in list_loggers() and not exists(dotted):
            yield dotted
    for variable, attribute in re.findall(r"\b(client|handle|context)\.(\w+)\(", text):
        classes = [zmq.Context, *(find_public(name) for name in OBJECTS[variable])]
        if not any(has(value, [attribute]) for value in classes):
            yield f"{variable}.{attribute}()"
    for code in read_code(page):
        if (command := re.match(r"zmqruntime ([a-z]+)\b", code)) and command[1] not in read_help():
            yield command[0]
        is_path = re.fullmatch(r"[a-z_][\w.-]*(/[\w.*-]+)+/?", code)
        is_example = code in ABSENT or re.search(r"(?<![a-z])[A-Z]+(?![a-z])", code)
        if is_path and not is_example and not is_there(code):
            yield code
        if match := re.match(r"([A-Z]\w+)((?:\.\w+)+)(?=\W|$)", code):
            value = find_public(match[1])
            if value is not None and not has(value, match[2][1:].split(".")):
                yield match[0]
        for name in re.findall(r"(?<![\w.])[A-Z][a-z]+(?:[A-Z][a-z]+)+(?=$|[.(])", code):
            if name not in list_words() and not hasattr(builtins, name):
                yield name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_names_that_a_page_mentions_exist(page: Path) -> None:
    assert sorted(set(find_unknown(page))) == []


def test_name_that_does_not_exist_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`zmqruntime frobnicate`\n"
        "`fake/tasks` `zmqruntime.execution.Nothing` `ZMQConfig.nothing` `NoSuchThing`\n"
        "```\nclient.submit()\n```\n"
        "`core` `client/handle` `zmqruntime.execution.client.handle` `ZMQConfig.app_name`\n"
    )

    assert set(find_unknown(page)) == {
        "zmqruntime frobnicate",
        "fake/tasks",
        "zmqruntime.execution.Nothing",
        "ZMQConfig.nothing",
        "NoSuchThing",
        "client.submit()",
    }
