"""Running an application's server class from a command line."""

from __future__ import annotations

import argparse
import gc
import importlib
import inspect
import logging
import operator
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from zmqruntime.execution.server import ExecutionServer
from zmqruntime.messages import ZMQRuntimeError
from zmqruntime.transport import ServerArguments

__all__ = ["TargetError", "load_target", "log_to_stderr", "main", "serve"]


class TargetError(ZMQRuntimeError):
    """``module:Class`` does not name an `ExecutionServer` subclass."""


def load_target(target: str) -> type[ExecutionServer]:
    """Import the server class that ``module:Class`` names.

    Raises:
        TargetError: there is no such module or class, or it is no execution server.
    """
    module_name, _, class_name = target.partition(":")
    if not module_name or not class_name:
        raise TargetError(f"{target!r} does not name a server: write it as 'module:Class'")
    try:
        found = operator.attrgetter(class_name)(importlib.import_module(module_name))
    except ModuleNotFoundError as error:
        raise TargetError(f"{target}: {error}; looked in {', '.join(sys.path)}") from error
    except AttributeError as error:
        raise TargetError(f"{target}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, ExecutionServer)):
        raise TargetError(f"{target} is no ExecutionServer subclass, but {found!r}")
    if inspect.isabstract(found):
        raise TargetError(f"{target} is abstract: name a subclass that defines execute_task")
    return found


def serve(
    server_class: type[ExecutionServer],
    arguments: ServerArguments,
    *,
    choose_journal: Callable[[Path | None], Path | None] = lambda named: named,
) -> None:
    """Serve until shut down, or until the owner in ``arguments`` is gone.

    ``choose_journal`` returns the journal to be kept, given the one that the class names.
    """
    server = server_class(
        arguments.port,
        host=arguments.host,
        transport_mode=arguments.transport_mode,
        config=arguments.config,
        log_file_path=arguments.log_file_path,
    )
    server.journal = choose_journal(server.journal)
    gc.freeze()  # What is loaded stays: no collection has to look at it again.
    gc.enable()
    server.serve_forever(owner=arguments.owner)


def log_to_stderr() -> None:
    """Show a person what the server logs. What ends it is left to whoever catches that."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    handler.addFilter(lambda record: record.levelno < logging.CRITICAL)
    logger = logging.getLogger("zmqruntime")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m zmqruntime.execution``; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m zmqruntime.execution", description="Run an execution server."
    )
    parser.add_argument("target", help="the server class, as module:Class")
    parser.add_argument("--journal", type=Path, help="where executions outlive the server")
    ServerArguments.add_options(parser)
    options = parser.parse_args(argv)
    arguments = ServerArguments.from_namespace(options)
    logging.getLogger("zmqruntime").setLevel(logging.INFO)
    if arguments.log_file_path is None:
        log_to_stderr()
    try:
        serve(
            load_target(options.target),
            arguments,
            choose_journal=lambda named: options.journal or named,
        )
    except ZMQRuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
