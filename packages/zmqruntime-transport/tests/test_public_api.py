"""What the package promises to those who import it."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

from zmqruntime import transport


def test_what_type_checkers_see_is_what_there_is() -> None:
    source = ast.parse(Path(transport.__file__ or "").read_text())
    imported = {
        alias.name: node.module
        for node in ast.walk(source)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("zmqruntime.")
        for alias in node.names
    }
    assert sorted(imported) == transport.__all__
    for name, module in imported.items():
        assert getattr(transport, name) is getattr(importlib.import_module(module or ""), name)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'ZMQServant'"):
        _ = transport.ZMQServant  # type: ignore[attr-defined]


def test_every_public_name_is_listed_before_it_is_loaded() -> None:
    assert set(transport.__all__) <= set(dir(transport))
