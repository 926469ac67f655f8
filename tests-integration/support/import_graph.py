"""The imports between modules, read from their syntax trees.

import-linter follows neither imports by `importlib` nor the lazy exports of a package. Here a name
that is imported from a module with a `__getattr__` of its own depends on the module that defines
it, according to the imports under TYPE_CHECKING. Imports inside functions count as all others.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

_IMPORT_FUNCTIONS = {"import_module", "__import__"}


class ImportGraph:
    """The imports of all modules below some source directories.

    Args:
        sources: the directories that packages are imported from.
    """

    def __init__(self, sources: Iterable[Path]) -> None:
        self._trees = {
            name: (ast.parse(path.read_text(encoding="utf-8")), path.name == "__init__.py")
            for source in sources
            for path in source.rglob("*.py")
            if (name := _module_name(path.relative_to(source)))
        }
        self._lazy = {name: _lazy_exports(tree) for name, (tree, _) in self._trees.items()}
        self.imports = {name: frozenset(self._read_imports(name)) for name in self._trees}
        """What each module imports when it runs: modules of the sources, and all others."""

    def below(self, *packages: str) -> list[str]:
        """Return the modules of some packages, the packages included."""
        return sorted(name for name in self._trees if _is_below(name, packages))

    def reached_from(self, modules: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
        """Return all direct and indirect imports of these modules, each with a shortest path."""
        paths: dict[str, tuple[str, ...]] = {name: (name,) for name in modules}
        pending = list(paths)
        for name in pending:
            for imported in sorted(self.imports.get(name, ())):
                if imported not in paths:
                    paths[imported] = (*paths[name], imported)
                    pending.append(imported)
        return paths

    def named_by(self, module: str) -> set[str]:
        """Return the modules that a module's import statements name, for a type checker as well."""
        tree, is_package = self._trees[module]
        named: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                origin = _origin(node, module, is_package=is_package)
                parts = {f"{origin}.{alias.name}" for alias in node.names}
                named |= {origin} | (parts & self._trees.keys())
        return named

    def _read_imports(self, module: str) -> Iterator[str]:
        tree, is_package = self._trees[module]
        aliases: dict[str, str] = {}
        for node in _walk_running_code(tree):
            match node:
                case ast.Import(names=names):
                    for alias in names:
                        yield from self._with_packages(alias.name)
                        if alias.asname:
                            aliases[alias.asname] = alias.name
                case ast.ImportFrom(names=names):
                    origin = _origin(node, module, is_package=is_package)
                    yield from self._with_packages(origin)
                    for alias in names:
                        if (submodule := f"{origin}.{alias.name}") in self._trees:
                            aliases[alias.asname or alias.name] = submodule
                            yield submodule
                        elif home := self._lazy.get(origin, {}).get(alias.name):
                            yield from self._with_packages(home)
                case ast.Call(
                    func=ast.Name(id=function) | ast.Attribute(attr=function),
                    args=[ast.Constant(value=str(name)), *_],
                ) if function in _IMPORT_FUNCTIONS:
                    yield from self._with_packages(name)
        for node in _walk_running_code(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                exports = self._lazy.get(aliases.get(node.value.id, ""), {})
                if home := exports.get(node.attr):
                    yield from self._with_packages(home)

    def _with_packages(self, name: str) -> Iterator[str]:
        """Yield a module, and the packages that are imported before it."""
        yield name
        parts = name.split(".")
        for end in range(1, len(parts)):
            if (package := ".".join(parts[:end])) in self._trees:
                yield package


def _walk_running_code(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes but those under TYPE_CHECKING."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            pending += node.orelse
        else:
            pending += ast.iter_child_nodes(node)


def _lazy_exports(tree: ast.Module) -> dict[str, str]:
    """Return the home of each name that a module exports by its `__getattr__`."""
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    if not any(function.name == "__getattr__" for function in functions):
        return {}
    return {
        alias.asname or alias.name: node.module or ""
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and _is_type_checking(block.test)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def _is_type_checking(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def _origin(node: ast.ImportFrom, module: str, *, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    package = module.split(".") if is_package else module.split(".")[:-1]
    above = package[: len(package) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def _module_name(path: Path) -> str:
    parts = path.parts[:-1] if path.name == "__init__.py" else (*path.parts[:-1], path.stem)
    return ".".join(parts)


def _is_below(name: str, packages: Iterable[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)
