"""The application of a server, and its comparison with the one that a client expects."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from zmqruntime.messages import ApplicationInfo
from zmqruntime.transport.process.source_digest import (
    compute_origin_digest,
    compute_source_digest,
    find_source,
)

__all__ = [
    "Difference",
    "ExpectedApplication",
    "describe_application",
    "find_differences",
    "name_class",
]


class Difference(StrEnum):
    """A difference between a server and the one that a client's launcher would start."""

    CLASS = "class"
    ORIGIN = "origin"
    VERSION = "version"
    CODE = "code"
    ARGUMENTS = "arguments"


@dataclass(frozen=True, slots=True)
class ExpectedApplication:
    """The application that a launcher would start, as far as it is known before a start.

    Args:
        class_path: the server's class, as ``module:Class``.
        version: its ``application_version``; empty: unknown, and not compared.
        arguments_digest: the digest of the launcher's arguments; None: there are none.
        code_digest: the digest of its present source files; None: unknown, and not compared.
        origin_digest: the digest of the path of its source file; None: unknown, and not compared.
    """

    class_path: str
    version: str = ""
    arguments_digest: str | None = None
    code_digest: str | None = None
    origin_digest: str | None = None


def name_class(server_class: type) -> str:
    """Return ``module:Class``; for a class of the main script, with the script's module name."""
    module = server_class.__module__
    if module == "__main__":
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        file = getattr(main, "__file__", None)
        if spec is not None:
            module = spec.name
        elif file is not None:
            module = Path(file).stem
    return f"{module}:{server_class.__qualname__}"


def describe_application(
    server_class: type, version: str, arguments_digest: str | None
) -> ApplicationInfo:
    """Return the ``application`` of a server's pongs. Reads its source files."""
    source = find_source(server_class.__module__)
    return ApplicationInfo(
        class_path=name_class(server_class),
        version=version,
        code_digest=compute_source_digest(source),
        arguments_digest=arguments_digest,
        origin_digest=compute_origin_digest(source),
    )


def find_differences(
    expected: ExpectedApplication, found: ApplicationInfo
) -> tuple[Difference, ...]:
    """Return the differences; only the class or the source file if that differs."""
    if expected.class_path != found.class_path:
        return (Difference.CLASS,)
    if _differ(expected.origin_digest, found.origin_digest):
        return (Difference.ORIGIN,)
    differences = []
    if expected.version and expected.version != found.version:
        differences.append(Difference.VERSION)
    if _differ(expected.code_digest, found.code_digest):
        differences.append(Difference.CODE)
    if expected.arguments_digest != found.arguments_digest:
        differences.append(Difference.ARGUMENTS)
    return tuple(differences)


def _differ(expected: str | None, found: str | None) -> bool:
    """Return whether two digests are known and differ."""
    return expected is not None and found is not None and expected != found
