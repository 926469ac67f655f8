"""JSON Schema (2020-12) of the messages, for peers in other languages."""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from itertools import pairwise
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from zmqruntime.messages.events import Event
from zmqruntime.messages.replies import Reply
from zmqruntime.messages.requests import Request

__all__ = ["make_schemas"]

_UNIONS: Final[dict[str, Any]] = {"request": Request, "reply": Reply, "event": Event}

# Optional fields of replies and events: servers of protocol 1 may omit them. A field that is added
# to a reply or an event belongs here, since older servers do not send it.
_MAY_BE_ABSENT: Final = {
    "PongReply": {"application", "progress_subscriber_count", "worker_error"},
    "ExecutionErrorInfo": {"result_repr"},
    "ExecutionRecord": {"result_dropped"},
    "AcceptedReply": {"execution"},
    "ExecutionStatusSnapshot": {
        "running_executions",
        "queued_executions",
        "counts",
        "cursor",
        "also",
    },
    "OkReply": {"progress_subscriber_count"},
    "ProgressEvent": {"data"},
}


def make_schemas() -> dict[str, dict[str, Any]]:
    """Return one schema each for ``request``, ``reply`` and ``event``: a union by ``type``.

    The request schema describes what a server accepts. The reply and event schemas describe what a
    server sends: they require more fields than `decode_reply` and `decode_event`.
    """
    return {name: _make_schema(name, TypeAdapter(union)) for name, union in _UNIONS.items()}


class _Generator(GenerateJsonSchema):
    """pydantic's generator, adapted to code generators."""

    def model_schema(self, schema: Any) -> Any:
        """Add the docstrings of attributes as descriptions."""
        # pydantic's use_attribute_docstrings would parse the source at every import.
        definition = super().model_schema(schema)
        for base in reversed(schema["cls"].__mro__):
            for field, docstring in (
                _read_docstrings(base.__module__).get(base.__name__, {}).items()
            ):
                definition["properties"][field]["description"] = docstring
        return definition

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Omit the titles of fields: code generators make a type of each."""
        return False

    def tagged_union_schema(self, schema: Any) -> Any:
        """Omit "discriminator", a keyword of OpenAPI: the `const` of each message is equivalent."""
        union = super().tagged_union_schema(schema)
        union.pop("discriminator", None)
        return union

    def get_default_value(self, schema: Any) -> Any:
        """Include defaults made by a factory, such as an empty object."""
        make = schema.get("default_factory")
        return make() if make else super().get_default_value(schema)


@cache
def _read_docstrings(module: str) -> dict[str, dict[str, str]]:
    """Return the attribute docstrings of each class in a module of this package."""
    if not module.startswith(__package__):
        return {}
    classes = ast.parse(inspect.getsource(sys.modules[module])).body
    return {made.name: _get_docstrings(made) for made in classes if isinstance(made, ast.ClassDef)}


def _get_docstrings(made: ast.ClassDef) -> dict[str, str]:
    docstrings: dict[str, str] = {}
    for statement, below in pairwise(made.body):
        match statement, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                docstrings[name] = inspect.cleandoc(text)
    return docstrings


def _make_schema(name: str, adapter: TypeAdapter[Any]) -> dict[str, Any]:
    schema = adapter.json_schema(schema_generator=_Generator)
    for title, definition in schema["$defs"].items():
        if "properties" in definition:
            _require(definition, _MAY_BE_ABSENT.get(title, set()), is_sent=name != "request")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"zmqruntime {name}",
        **schema,
    }


def _require(definition: dict[str, Any], may_be_absent: set[str], *, is_sent: bool) -> None:
    """Set the fields that are required on the wire; a default is a convenience of Python code."""
    needed = set(definition.get("required", ()))
    for field, schema in definition["properties"].items():
        if "const" in schema:
            needed.add(field)
        if is_sent and field not in may_be_absent:
            needed.add(field)
        if field in needed:
            schema.pop("default", None)
    definition["required"] = [field for field in definition["properties"] if field in needed]
