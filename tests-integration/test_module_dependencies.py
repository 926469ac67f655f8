"""The directions in which the modules of all packages may import each other."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from import_graph import ImportGraph

ROOT = Path(__file__).parent.parent
LAYERS = ["messages", "transport", "execution", "testing"]
"""Each package imports only those before it."""

PURE_WINGS = ["zmqruntime.execution.core", "zmqruntime.execution.lifecycle"]
IMPURE = {"zmq", "psutil", "socket", "threading", "subprocess", "multiprocessing", "sqlite3"}
DISK_AND_CLOCK = {"io", "os", "pathlib", "shutil", "tempfile", "time"}
"""Not reached for: what these wings import from transport checks file names and reads clocks."""

SHARED_WITH_SIBLINGS = {"zmqruntime.transport", "zmqruntime.transport.lowlevel"}


@pytest.fixture(scope="module")
def graph() -> ImportGraph:
    return ImportGraph(ROOT.glob("packages/*/src"))


def layer(module: str) -> int:
    return LAYERS.index(module.split(".")[1])


def top_levels(modules: Iterable[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


@pytest.mark.parametrize("package", LAYERS)
def test_packages_import_only_packages_below(graph: ImportGraph, package: str) -> None:
    wrong = [
        (module, imported)
        for module in graph.below(f"zmqruntime.{package}")
        for imported in graph.imports[module]
        if imported.startswith("zmqruntime.") and layer(imported) > layer(module)
    ]
    assert not wrong


@pytest.mark.parametrize("package", ["transport", "execution"])
@pytest.mark.parametrize(("wing", "other"), [("client", "server"), ("server", "client")])
def test_client_and_server_do_not_import_each_other(
    graph: ImportGraph, package: str, wing: str, other: str
) -> None:
    modules = graph.below(f"zmqruntime.{package}.{wing}")
    assert modules
    paths = graph.reached_from(modules)
    wings = [f"zmqruntime.{package}.{other}" for package in LAYERS]
    assert not [paths[name] for name in graph.below(*wings) if name in paths]


@pytest.mark.parametrize("wing", PURE_WINGS)
def test_core_and_lifecycle_touch_no_disk_clock_socket_or_thread(
    graph: ImportGraph, wing: str
) -> None:
    modules = graph.below(wing)
    assert modules
    imported = {name for module in modules for name in graph.imports[module]}
    assert not top_levels(imported) & (IMPURE | DISK_AND_CLOCK)


@pytest.mark.parametrize("wing", PURE_WINGS)
def test_core_and_lifecycle_reach_no_socket_process_or_thread(
    graph: ImportGraph, wing: str
) -> None:
    paths = graph.reached_from(graph.below(wing))
    assert not [path for name, path in paths.items() if name.partition(".")[0] in IMPURE]


def test_only_the_journal_imports_sqlite(graph: ImportGraph) -> None:
    users = [module for module, names in graph.imports.items() if "sqlite3" in top_levels(names)]
    assert users
    assert not set(users) - set(graph.below("zmqruntime.execution.journal"))


def test_sibling_packages_import_transport_by_its_two_export_lists(graph: ImportGraph) -> None:
    """Neither a wing nor a module of transport is named outside of it, also for a type checker."""
    wrong = [
        (module, imported)
        for module in graph.below("zmqruntime.execution", "zmqruntime.testing")
        for imported in graph.named_by(module)
        if imported.startswith("zmqruntime.transport") and imported not in SHARED_WITH_SIBLINGS
    ]
    assert not wrong


# -- the graph itself -------------------------------------------------------------------------


@pytest.fixture
def small_graph(tmp_path: Path) -> ImportGraph:
    files = {
        "shop/__init__.py": (
            "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n"
            "    from shop.till import Till as Till\n"
            "def __getattr__(name): ...\n"
        ),
        "shop/till.py": "import sqlite3\n",
        "shop/eager.py": "import shop\nfrom .till import Till\n",
        "shop/lazy.py": "def sell():\n    from shop import Till\n",
        "shop/attribute.py": "import shop as here\ndef sell():\n    return here.Till()\n",
        "shop/by_name.py": "import importlib\nimportlib.import_module('shop.till')\n",
        "shop/types.py": "if TYPE_CHECKING:\n    import shop.till\nelse:\n    import os\n",
        "shop/bare.py": "import shop\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return ImportGraph([tmp_path])


@pytest.mark.parametrize("module", ["eager", "lazy", "attribute", "by_name"])
def test_graph_follows_each_kind_of_import(small_graph: ImportGraph, module: str) -> None:
    assert small_graph.reached_from([f"shop.{module}"])["sqlite3"] == (
        f"shop.{module}",
        "shop.till",
        "sqlite3",
    )


def test_graph_separates_imports_of_type_checkers(small_graph: ImportGraph) -> None:
    assert small_graph.imports["shop.types"] == {"os"}
    assert small_graph.named_by("shop.types") == {"os", "shop.till"}


def test_graph_of_a_lazy_package_holds_only_names_in_use(small_graph: ImportGraph) -> None:
    assert "sqlite3" not in small_graph.reached_from(["shop.bare"])
