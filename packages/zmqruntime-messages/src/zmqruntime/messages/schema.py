"""The message contract as JSON Schema (2020-12), for peers that are not Python."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from zmqruntime.messages.events import Event
from zmqruntime.messages.requests import Request
from zmqruntime.messages.responses import Reply

__all__ = ["make_schemas"]

_UNIONS: dict[str, TypeAdapter[Any]] = {
    "request": TypeAdapter(Request),
    "reply": TypeAdapter(Reply),
    "event": TypeAdapter(Event),
}


def make_schemas() -> dict[str, dict[str, Any]]:
    """Return one schema each for ``request``, ``reply`` and ``event``: a union by ``type``."""
    return {name: _make_schema(name, adapter) for name, adapter in _UNIONS.items()}


def _make_schema(name: str, adapter: TypeAdapter[Any]) -> dict[str, Any]:
    schema = adapter.json_schema(mode="validation")
    for message in schema["discriminator"]["mapping"].values():
        # A default spares only Python code from writing it: on the wire it tells the types apart.
        definition = schema["$defs"][message.rpartition("/")[2]]
        definition["required"] = ["type", *definition.get("required", [])]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"zmqruntime {name}",
        **schema,
    }
