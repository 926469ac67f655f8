"""A class named by ``module:Class``, as launchers and the command line name a server's class."""

from __future__ import annotations

import importlib
import operator
import sys

from zmqruntime.messages import ZMQRuntimeError

__all__ = ["TargetError", "import_target"]


class TargetError(ZMQRuntimeError):
    """``module:Class`` does not name an `ExecutionServer` subclass."""


def import_target(target: str) -> object:
    """Import a module, and return what ``module:Class`` names in it.

    Raises:
        TargetError: there is no such module, or it has no such attribute.
        Exception: whatever the module raises while it is imported.
    """
    module_name, _, class_name = target.partition(":")
    if not module_name or not class_name or module_name.startswith("."):
        raise TargetError(f"{target!r} does not name a server: write it as 'module:Class'")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise  # It is another one, which this one imports.
        raise TargetError(f"{target}: {error}; looked in {', '.join(sys.path)}") from None
    try:
        return operator.attrgetter(class_name)(module)
    except AttributeError as error:
        raise TargetError(f"{target}: {error}") from None
