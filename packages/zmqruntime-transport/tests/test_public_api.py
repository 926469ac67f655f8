"""The names that the package exports, to its users and to its sibling packages."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from types import ModuleType

import pytest

from zmqruntime import transport
from zmqruntime.transport import lowlevel

both_modules = pytest.mark.parametrize("module", [transport, lowlevel], ids=lambda m: m.__name__)


@both_modules
def test_exports_are_those_that_type_checkers_read(module: ModuleType) -> None:
    source = ast.parse(Path(module.__file__ or "").read_text())
    homes = {
        alias.name: node.module or ""
        for node in ast.walk(source)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("zmqruntime.")
        for alias in node.names
    }
    assert sorted(homes) == module.__all__
    for name, home in homes.items():
        assert getattr(module, name) is getattr(importlib.import_module(home), name)


@both_modules
def test_unknown_name_is_an_attribute_error(module: ModuleType) -> None:
    with pytest.raises(AttributeError, match="no attribute 'ZMQServant'"):
        _ = module.ZMQServant


@both_modules
def test_dir_lists_exports_before_they_are_imported(module: ModuleType) -> None:
    assert set(module.__all__) <= set(dir(module))


def test_no_name_is_exported_twice() -> None:
    assert not set(transport.__all__) & set(lowlevel.__all__)
