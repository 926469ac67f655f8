"""A digest of an application's source files, to detect a server that runs other code.

Computed from the files: a client does not import the application.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["compute_origin_digest", "compute_source_digest", "find_source"]

_INSTALLED = {"site-packages", "dist-packages"}
_DIGEST_BYTES = 16
# Bounds the time of a start; further files are not compared.
_MAX_FILES = 500
_IMPORT = re.compile(
    rb"^[ \t]*(?:from[ \t]+(?P<source>[.\w]+)[ \t]+import[ \t]+(?P<names>\([^)]*\)|[^\n;#]*)"
    rb"|import[ \t]+(?P<modules>[^\n;#]*))",
    re.MULTILINE,
)
_WORD = re.compile(rb"[.\w]+")


def find_source(module_name: str) -> Path | None:
    """Return the source file of a module, imported or not.

    None: there is no such file: it is compiled, in an archive, or not found.
    """
    module = sys.modules.get(module_name)
    origin: str | None = getattr(module, "__file__", None)
    if module is None:
        try:
            spec = importlib.util.find_spec(module_name)
        except Exception:  # noqa: BLE001 - a package above it is imported, and may raise anything
            return None
        origin = None if spec is None else spec.origin
    if origin is None or not origin.endswith(".py"):
        return None
    return Path(origin)


def compute_source_digest(source: Path | None) -> str | None:
    """Return a digest of a module and the modules beside it that it imports, also indirectly.

    "Beside it" is below the directory that contains its top-level package; for an installed one,
    only that package. Imports are found in the text, so computed names are missed. At most 500
    files are read.

    None: the file of the module cannot be read.
    """
    if source is None:
        return None
    root, top = _find_root(source)
    reach = {top} if not _INSTALLED.isdisjoint(root.parts) else None
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    found, pending = {source}, [source]
    while pending:
        path = pending.pop(0)
        try:
            text = path.read_bytes()
        except OSError:
            if path == source:
                return None
            continue
        digest.update(b"%b\0%d\0" % (path.relative_to(root).as_posix().encode(), len(text)))
        digest.update(text)
        for name in _find_imports(text, path.relative_to(root)):
            if reach is not None and name[0] not in reach:
                continue
            for file in _files_of(root, name):
                if file not in found and len(found) < _MAX_FILES:
                    found.add(file)
                    pending.append(file)
    return digest.hexdigest()


def compute_origin_digest(source: Path | None) -> str | None:
    """Return a digest of the real path of a source file; None: there is no file.

    Two applications may have modules and classes of the same name in different directories.
    """
    if source is None:
        return None
    path = os.path.normcase(os.path.realpath(source))
    return hashlib.blake2b(os.fsencode(path), digest_size=_DIGEST_BYTES).hexdigest()


def _find_root(source: Path) -> tuple[Path, str]:
    """Return the directory from which a module is imported, and the first part of its name."""
    directory, top = source.parent, source.stem
    while (directory / "__init__.py").is_file() and directory != directory.parent:
        directory, top = directory.parent, directory.name
    return directory, top


def _find_imports(text: bytes, path: Path) -> Iterator[tuple[str, ...]]:
    """Yield the possible names of the modules that a file imports, as parts."""
    package = path.parent.parts
    for match in _IMPORT.finditer(text):
        if match["modules"] is not None:
            for part in match["modules"].split(b","):
                if word := _WORD.match(part.strip()):
                    yield tuple(word[0].decode().split("."))
            continue
        source = match["source"].decode(errors="replace")
        name = source.lstrip(".")
        up = len(source) - len(name)
        above = package[: len(package) - up + 1] if up else ()
        base = (*above, *name.split(".")) if name else tuple(above)
        if base:
            yield base
        for part in match["names"].strip(b"()").split(b","):
            if word := _WORD.match(part.strip()):
                yield (*base, word[0].decode(errors="replace"))


def _files_of(root: Path, name: tuple[str, ...]) -> Iterator[Path]:
    """Yield the files below ``root`` that an import of a module executes."""
    directory = root
    for part in name:
        if not part:
            return
        for path in (directory / part / "__init__.py", directory / f"{part}.py"):
            if path.is_file():
                yield path
                break
        directory /= part
