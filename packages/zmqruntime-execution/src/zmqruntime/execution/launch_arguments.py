"""Keyword arguments for a launched server's constructor, pickled through a pipe.

Only the process that the launcher started reads them; nothing here comes from a socket.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import io
import pickle
import re
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, BinaryIO

from zmqruntime.messages import ZMQRuntimeError

__all__ = [
    "LaunchArgumentsError",
    "check_fit",
    "compute_arguments_digest",
    "pack_arguments",
    "pickle_arguments",
    "read_arguments",
]

_DIGEST_BYTES = 16
_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")
# Arguments that the client sets, or the launcher has a parameter for.
_RESERVED = ("port", "host", "transport_mode", "config", "log_file_path")


class LaunchArgumentsError(ZMQRuntimeError):
    """A launched server cannot unpickle the arguments of its launcher."""


def check_fit(server_class: type, arguments: Mapping[str, object]) -> None:
    """Check that the constructor of a server's class accepts these arguments.

    Raises:
        TypeError: one is unknown or missing; the error names it.
    """
    check_names(arguments)
    name = f"{server_class.__qualname__}.__init__"
    signature = inspect.signature(server_class)
    try:
        signature.bind(**dict.fromkeys(_RESERVED), **arguments)
    except TypeError as error:
        raise TypeError(
            f"{name} cannot be called by a launcher: {error}. A launcher passes "
            f"{', '.join(_RESERVED)} and its own arguments; the constructor takes "
            f"{', '.join(signature.parameters)}"
        ) from None


def check_names(names: Iterable[str]) -> None:
    """Check that no argument is one that the client or the launcher sets.

    Raises:
        TypeError: one is reserved; the error names it.
    """
    for name in names:
        if name in _RESERVED:
            raise TypeError(
                f"{name} is not an argument of a launcher: pass it to the client, which connects "
                "to the server that it launches"
            )


def pickle_arguments(arguments: Mapping[str, object]) -> dict[str, bytes]:
    """Return each argument pickled.

    Raises:
        TypeError: one cannot be pickled, or not be unpickled there; the error names it.
    """
    pickled = {}
    for name, value in arguments.items():
        buffer = io.BytesIO()
        try:
            _Pickler(buffer).dump(value)
        except Exception as error:  # noqa: BLE001 - an application's __reduce__ may raise anything
            raise TypeError(
                f"{name} cannot be sent to the server's process: {error}. Pass a picklable "
                "value, such as a path, and open it in setup_worker()"
            ) from None
        pickled[name] = buffer.getvalue()
    return pickled


def pack_arguments(pickled: Mapping[str, bytes], digest: str) -> bytes:
    """Return the bytes that `read_arguments` reads in the server's process."""
    return pickle.dumps((digest, dict(pickled)))


def read_arguments(stream: BinaryIO) -> tuple[str, dict[str, Any]]:
    """Return the digest and the arguments that this process was launched with.

    Raises:
        LaunchArgumentsError: they are truncated, or one cannot be unpickled here.
    """
    try:
        digest, packed = pickle.load(stream)
    except (EOFError, pickle.UnpicklingError) as error:
        raise LaunchArgumentsError(f"launch arguments missing or truncated: {error}") from None
    arguments = {}
    for name, data in packed.items():
        try:
            arguments[name] = pickle.loads(data)
        except Exception as error:  # noqa: BLE001 - a module imported for it may raise anything
            raise LaunchArgumentsError(
                f"argument {name} cannot be unpickled in the server's process: "
                f"{type(error).__name__}: {error}"
            ) from None
    return digest, arguments


def compute_arguments_digest(given: Mapping[str, object]) -> str | None:
    """Return a digest that is equal for equal arguments, in every process; None for no arguments.

    It does not protect secrets: a short value can be guessed from it.
    """
    if not given:
        return None
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    digest.update(repr(_canonical(given)).encode(errors="backslashreplace"))
    return digest.hexdigest()


def _canonical(value: object) -> object:
    """Return an object whose `repr` is equal for equal values, which a pickle is not."""
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    if value is None or isinstance(value, Enum | type):
        return f"{name}:{value!r}"
    if isinstance(value, Mapping):
        pairs = [(repr(_canonical(key)), _canonical(item)) for key, item in value.items()]
        return (name, sorted(pairs, key=lambda pair: pair[0]))
    if isinstance(value, set | frozenset):
        return (name, sorted(repr(_canonical(item)) for item in value))
    if isinstance(value, list | tuple):
        return (name, [_canonical(item) for item in value])
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return (name, _canonical(fields))
    text = repr(value)
    # A repr with an address differs between processes; that of an array is shortened.
    if _ADDRESS.search(text) or hasattr(value, "__array__"):
        return (name, pickle.dumps(value))
    return (name, text)


class _Pickler(pickle.Pickler):
    """Refuses objects defined in ``__main__``, which is another module in the server's process."""

    def persistent_id(self, found: Any) -> None:
        kind = found if isinstance(found, type) or inspect.isfunction(found) else type(found)
        if getattr(kind, "__module__", None) == "__main__":
            raise pickle.PicklingError(
                f"{kind.__qualname__} is defined in __main__: move it to a module of its own, so "
                "that the server's process can import it"
            )
