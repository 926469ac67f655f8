"""Lazy public names (PEP 562): a submodule is imported when one of its names is first used.

Building a pydantic model takes about a millisecond, and the start of a worker needs few of them.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping

__all__ = ["attach"]


def attach(
    module: str, names: Mapping[str, tuple[str, ...]]
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of ``module``.

    Args:
        module: the module that re-exports, by its ``__name__``.
        names: the public names by the full name of the submodule that defines them.
    """
    homes = {name: home for home, public in names.items() for name in public}

    def get(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    def list_names() -> list[str]:
        return sorted({*vars(sys.modules[module]), *homes})

    return get, list_names, [*homes]
