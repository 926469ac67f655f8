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
from zmqruntime.messages import ZMQRuntimeError, printable
from zmqruntime.transport import RecordFormatter, ServerArguments

__all__ = ["TargetError", "load_target", "log_to_stderr", "main", "serve"]


class TargetError(ZMQRuntimeError):
    """``module:Class`` does not name an `ExecutionServer` subclass."""


def load_target(target: str) -> type[ExecutionServer]:
    """Import the server class that ``module:Class`` names.

    Raises:
        TargetError: there is no such module or class, or it is no execution server.
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
        raise TargetError(f"{target}: {error}; looked in {', '.join(sys.path)}") from error
    try:
        found = operator.attrgetter(class_name)(module)
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

    Raises:
        TargetError: the class cannot be made as an `ExecutionServer` is.
        Exception: whatever it raises, or ended the server.
    """
    server = _make(server_class, arguments)
    server.journal = choose_journal(server.journal)
    gc.freeze()  # What is loaded stays: no collection has to look at it again.
    gc.enable()
    server.serve_forever(owner=arguments.owner)


def _make(server_class: type[ExecutionServer], arguments: ServerArguments) -> ExecutionServer:
    name = f"{server_class.__qualname__}.__init__"
    try:
        server = server_class(arguments.port, **arguments.options)
    except TypeError as error:
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise  # It comes from inside.
        raise TargetError(
            f"{name} has to take what ExecutionServer takes: {error}{_place_of(server_class)}"
        ) from error
    if "_max_log_bytes" not in vars(server):
        raise TargetError(f"{name} has to call super().__init__(){_place_of(server_class)}")
    return server


def _place_of(server_class: type) -> str:
    """Return where its constructor is written, if it is."""
    constructor = inspect.getattr_static(server_class, "__init__")
    code = getattr(inspect.unwrap(constructor), "__code__", None)
    return "" if code is None else f" ({code.co_filename}, line {code.co_firstlineno})"


def log_to_stderr() -> None:
    """Show a person what the server logs. What ends it is left to whoever catches that."""
    handler = logging.StreamHandler()
    handler.setFormatter(RecordFormatter("%(asctime)s %(message)s", "%H:%M:%S"))
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
    logging.getLogger("zmqruntime").setLevel(logging.INFO)
    if options.log_file is None:
        log_to_stderr()
    try:
        arguments = ServerArguments.from_namespace(options)
        serve(
            load_target(options.target),
            arguments,
            choose_journal=lambda named: options.journal or named,
        )
    except ZMQRuntimeError as error:
        # With the traceback of a worker, if it has one: a launcher has nothing else to tell. Its
        # lines are indented, since stderr may lead into the log file.
        print(printable(f"error: {error}", newline="\n    "), file=sys.stderr)
        return 1
    except Exception as error:  # noqa: BLE001 - an application's too; told in one sentence
        from zmqruntime.execution.explain import explain_error

        print(f"error: {explain_error(error)}", file=sys.stderr)
        return 1
    return 0
