"""The modules and classes that the page about the architecture names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PAGE = (REPOSITORY / "docs/explanation/architecture.md").read_text("utf-8")
SOURCES = [path / "zmqruntime" for path in REPOSITORY.glob("packages/*/src")]
PACKAGES = ("messages", "transport", "execution", "testing")

MODULES = sorted(
    set(re.findall(r"(?<![\w/.-])[a-z]\w*(?:/[a-z]\w*)+(?![\w/]|\.md|\.py)", PAGE))
    # What a page says of the namespace, and links.
    - {"reference/protocol", "zmqruntime/X"}
)
CLASSES = sorted(set(re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b", PAGE)))
METHODS = sorted(set(re.findall(r"\b(Scheduler|SlotManager|Responder)\.(\w+)", PAGE)))


def find_module(name: str) -> Path | None:
    """Return the file or the folder of a module, named from its package or from its wing."""
    for source in SOURCES:
        for root in (source, *(source / package for package in PACKAGES)):
            for path in (root / name, root / f"{name}.py"):
                if path.exists():
                    return path
    return None


def read_sources() -> str:
    return "\n".join(path.read_text("utf-8") for source in SOURCES for path in source.rglob("*.py"))


def test_modules_are_found_in_the_page() -> None:
    assert {"core/scheduler", "execution/lifecycle", "transport/client"} <= set(MODULES)
    assert {"WorkerSlot", "LifecycleEngine", "SubprocessLauncher"} <= set(CLASSES)


@pytest.mark.parametrize("name", MODULES)
def test_module_exists(name: str) -> None:
    assert find_module(name) is not None


def test_classes_exist() -> None:
    defined = set(re.findall(r"^class (\w+)", read_sources(), flags=re.MULTILINE))
    assert [name for name in CLASSES if name not in defined] == []


def test_methods_exist() -> None:
    defined = set(re.findall(r"^    def (\w+)", read_sources(), flags=re.MULTILINE))
    assert [name for _, name in METHODS if name not in defined] == []


def test_each_module_of_the_core_is_in_the_page() -> None:
    core = find_module("execution/core")
    assert core is not None
    modules = {f"core/{path.stem}" for path in core.glob("*.py")} - {"core/__init__"}
    assert modules <= set(MODULES)
