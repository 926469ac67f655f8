"""The reference documents each public name once, on the page of its role."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

EXTENSION = Path(__file__).parent / "_extensions" / "api_by_role.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("api_by_role", EXTENSION)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


api = load()


def test_each_listed_name_is_public() -> None:
    public = {name for package in api.PACKAGES for name in api.list_public(package)}

    assert set(api.list_pages_by_name()) - public == set()


def test_no_name_is_on_two_pages() -> None:
    listed = api.list_pages_by_name()

    assert {name: pages for name, pages in listed.items() if len(pages) > 1} == {}


@pytest.mark.parametrize(
    "page", sorted((Path(__file__).parent / "reference").glob("*.md")), ids=lambda page: page.stem
)
def test_blocks_of_a_page_expand_to_directives(page: Path) -> None:
    expanded = api.expand_blocks(page.read_text("utf-8"))

    assert "{api" not in expanded
    directives = [line for line in expanded.splitlines() if line.startswith(".. auto")]
    assert [name for name, count in Counter(directives).items() if count > 1] == []


def test_each_public_name_of_the_main_packages_is_documented() -> None:
    pages = (Path(__file__).parent / "reference").glob("*.md")
    text = "\n".join(api.expand_blocks(page.read_text("utf-8")) for page in pages)
    documented = {line.rpartition(".")[2] for line in text.splitlines() if ":: zmq" in line}
    documented |= set(api.list_pages_by_name())

    for package in ("messages", "transport", "execution", "testing"):
        assert set(api.list_public(f"zmqruntime.{package}")) - documented == set()


def test_unknown_name_in_a_block_is_an_error() -> None:
    with pytest.raises(LookupError, match="no package exports 'Nothing'"):
        api.expand_blocks("```{api}\nNothing\n```\n")
