"""`ExecutionServerLauncher`: starts an application's server class in a new process."""

from __future__ import annotations

import inspect
import operator
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zmqruntime.execution.journal.location import JournalChoice
from zmqruntime.execution.launch_arguments import (
    check_fit,
    check_names,
    compute_arguments_digest,
    pack_arguments,
    pickle_arguments,
)
from zmqruntime.execution.target import import_target
from zmqruntime.messages import ApplicationInfo
from zmqruntime.transport import ExpectedApplication, SubprocessLauncher
from zmqruntime.transport.lowlevel import (
    check_type,
    compute_origin_digest,
    compute_source_digest,
    find_source,
)

__all__ = ["ExecutionServerLauncher"]


class ExecutionServerLauncher(SubprocessLauncher):
    """Starts ``python -m zmqruntime.execution module:Class`` with this interpreter.

    Args:
        target: an `ExecutionServer` subclass, or its name as ``"module:Class"``.
        environment: environment variables to set in addition to the inherited ones.
        log_file_path: where its output is appended; None: the platform's log directory.
        journal: the file that keeps executions across restarts; True: one in the user's data
            directory; False: no journal; None: the default of the class.
        arguments: further keyword arguments for the class's constructor, such as ``max_queued``,
            or the application's own. They are pickled now and sent through a pipe, so that no
            process list shows them.

    Raises:
        TypeError: an argument is of the wrong type, cannot be pickled, or is not accepted by the
            class's constructor; the error names it. If ``"module:Class"`` is not imported here,
            the server's process checks it, and the launch fails.
        ValueError: the target does not name a class, or one that no other process can import:
            defined in ``__main__`` or inside a function.
    """

    def __init__(
        self,
        target: str | type,
        *,
        environment: Mapping[str, str] | None = None,
        log_file_path: Path | str | None = None,
        journal: JournalChoice = None,
        **arguments: Any,
    ) -> None:
        check_type("target", target, str, type)
        check_type("log_file_path", log_file_path, Path, str, optional=True)
        check_type("journal", journal, Path, str, bool, optional=True)
        if isinstance(target, type):
            if target.__module__ == "__main__":
                raise ValueError(
                    f"{target.__qualname__} is defined in __main__: move it to a module of its "
                    "own, so that the server's process can import it"
                )
            if "<locals>" in target.__qualname__:
                raise ValueError(
                    f"{target.__qualname__} is defined inside a function: move it to the top of "
                    "its module, so that the server's process can import it"
                )
            target = f"{target.__module__}:{target.__qualname__}"
        module_name, _, class_name = target.partition(":")
        if not module_name or not class_name:
            raise ValueError(f"target must be 'module:Class', not {target!r}")
        self._target = target
        check_names(arguments)
        if (server_class := _find_loaded(target)) is not None:
            check_fit(server_class, arguments)
        if isinstance(journal, Path | str):
            journal = Path(journal).resolve()
        # With its own PYTHONPATH, the server may import the module from another directory.
        self._shares_import_path = "PYTHONPATH" not in (environment or {})
        given: dict[str, object] = dict(arguments)
        if environment:
            given["environment"] = dict(environment)
        if journal is not None:
            given["journal"] = str(journal)
        pickled = pickle_arguments(arguments)
        self._digest = compute_arguments_digest(given)
        options, stdin = _options(journal), None
        if self._digest is not None:
            options.insert(0, "--launched")
            stdin = pack_arguments(pickled, self._digest)
        super().__init__(
            [sys.executable, "-m", "zmqruntime.execution", target, *options],
            environment=environment,
            log_file_path=None if log_file_path is None else Path(log_file_path),
            stdin=stdin,
        )

    def expect(self, found: ApplicationInfo) -> ExpectedApplication:
        """Return the application that this would start, with the digests of its source on disk.

        A target given by name is imported only if the name differs from that of the running
        server's class: it may be an alias.
        """
        server_class = _find_loaded(self._target)
        if server_class is None and self._target != found.class_path:
            server_class = _find_imported(self._target)
        if server_class is None:
            class_path, version = self._target, ""
        else:
            class_path = f"{server_class.__module__}:{server_class.__qualname__}"
            version = getattr(server_class, "application_version", "")
        code = origin = None
        if class_path == found.class_path and (found.code_digest or found.origin_digest):
            source = find_source(class_path.partition(":")[0])
            code = compute_source_digest(source)
            origin = compute_origin_digest(source) if self._shares_import_path else None
        return ExpectedApplication(class_path, version, self._digest, code, origin)


def _options(journal: JournalChoice) -> list[str]:
    if isinstance(journal, bool):
        return ["--durable" if journal else "--no-journal"]
    return [] if journal is None else ["--journal", str(journal)]


def _find_loaded(target: str) -> type | None:
    """Return the class that a target names, if its module is already imported."""
    module_name, _, class_name = target.partition(":")
    module = sys.modules.get(module_name)
    try:
        found = operator.attrgetter(class_name)(module)
    except AttributeError:
        return None  # The server's process raises an error with the details.
    return found if inspect.isclass(found) else None


def _find_imported(target: str) -> type | None:
    """Import and return the class that a target names; None if that fails."""
    try:
        found = import_target(target)
    except (Exception, SystemExit):  # noqa: BLE001 - an application's module may raise anything
        return None
    return found if inspect.isclass(found) else None
