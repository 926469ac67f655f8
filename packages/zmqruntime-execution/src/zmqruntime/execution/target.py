"""Import of a server class by its name, ``module:Class``, for launchers and the command line."""

from __future__ import annotations

import importlib
import operator
import sys

from zmqruntime.messages import ZMQRuntimeError

__all__ = ["TargetError", "import_target"]


class TargetError(ZMQRuntimeError):
    """``module:Class`` does not name an `ExecutionServer` subclass."""


def import_target(target: str) -> object:
    """Import a module, and return the attribute that ``module:Class`` names.

    Raises:
        TargetError: the module or the attribute does not exist.
        Exception: any error of the module's import.
    """
    module_name, _, class_name = target.partition(":")
    if not module_name or not class_name or module_name.startswith("."):
        raise TargetError(f"invalid server name {target!r}: write it as 'module:Class'")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise  # Another module, which this one imports.
        raise TargetError(f"{target}: {error}; searched {', '.join(sys.path)}") from None
    try:
        return operator.attrgetter(class_name)(module)
    except AttributeError as error:
        raise TargetError(f"{target}: {error}") from None
