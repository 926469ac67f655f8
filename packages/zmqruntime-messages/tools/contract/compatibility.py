"""Compatibility of two versions of the schemas within one protocol version.

Requests go from older clients to newer servers: what was accepted must still be accepted. Replies
and events go from newer servers to older clients and from older servers to newer clients: each
client must accept them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

__all__ = ["find_incompatibilities"]

Schema = dict[str, Any]

_SIZES: Final = ("maxItems", "maxLength", "maxProperties")

_SUPPORTED: Final = {
    *_SIZES,
    *("$ref", "anyOf", "oneOf", "type", "const", "enum", "pattern"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("properties", "required", "additionalProperties", "propertyNames", "items"),
    *("$defs", "title", "description", "default"),
}


def find_incompatibilities(old: dict[str, Schema], new: dict[str, Schema]) -> list[str]:
    """Return the incompatibilities of ``new`` with peers of ``old``, one message each.

    Both are results of ``make_schemas()``. The schemas must not be recursive.

    Raises:
        ValueError: a schema has an unsupported keyword.
    """
    incompatibilities: list[str] = []
    for kind in ("request", "reply", "event"):
        before, after = _Document(old[kind]), _Document(new[kind])
        for type_word, old_schema in before.messages.items():
            where = f"{kind} {type_word}"
            if type_word not in after.messages:
                incompatibilities.append(f"{where}: the message was removed")
                continue
            new_schema = after.messages[type_word]
            incompatibilities += [
                f"{where}{removal}"
                for removal in _find_removals(before, old_schema, after, new_schema)
            ]
            newer = _find_rejections(after, new_schema, before, old_schema)
            if kind == "request":
                incompatibilities += [
                    f"{where}{at}: servers no longer accept {what}" for at, what in newer
                ]
                continue
            older = _find_rejections(before, old_schema, after, new_schema)
            incompatibilities += [f"{where}{at}: older clients reject {what}" for at, what in older]
            incompatibilities += [
                f"{where}{at}: older servers may send {what}" for at, what in newer
            ]
        if kind == "event":  # A new reply only answers a new request; events are unsolicited.
            added = sorted(after.messages.keys() - before.messages.keys())
            incompatibilities += [
                f"event {type_word}: older clients reject the new event" for type_word in added
            ]
    return incompatibilities


class _Rejection(NamedTuple):
    at: str
    what: str


class _Document:
    """One schema with its definitions, and the messages in it by their type."""

    def __init__(self, schema: Schema) -> None:
        self._definitions: dict[str, Schema] = schema["$defs"]
        self.messages: dict[str, Schema] = {
            message["properties"]["type"]["const"]: message
            for option in schema["oneOf"]
            for message in self.options(option)
        }

    def options(self, schema: Schema) -> list[Schema]:
        """Resolve references and unions: return the alternatives of ``schema``."""
        if unknown := schema.keys() - _SUPPORTED:
            raise ValueError(
                f"unsupported keywords {sorted(unknown)}: extend find_incompatibilities"
            )
        if "$ref" in schema:
            return self.options(self._definitions[schema["$ref"].removeprefix("#/$defs/")])
        if union := schema.get("anyOf") or schema.get("oneOf"):
            return [option for member in union for option in self.options(member)]
        return [schema]


def _find_rejections(
    reader: _Document, read: Schema, writer: _Document, written: Schema, at: str = ""
) -> list[_Rejection]:
    """Return what a reader of ``read`` rejects of the values of ``written``."""
    rejections: list[_Rejection] = []
    for written_option in writer.options(written):
        tries: list[list[_Rejection]] = []
        for read_option in reader.options(read):
            if not _is_of_type(read_option, written_option):
                continue
            tries.append(list(_reject_option(reader, read_option, writer, written_option, at)))
        if not tries:
            rejections.append(_Rejection(at, _describe(written_option)))
        elif all(tries):
            rejections += tries[0]
    return rejections


def _reject_option(
    reader: _Document, read: Schema, writer: _Document, written: Schema, at: str
) -> Iterator[_Rejection]:
    """Yield what one alternative rejects of another one of its type."""
    if values := _enum_values(read):
        others = _enum_values(written)
        lost = sorted(others - values) if others else [_describe(written)]
        yield from (_Rejection(at, value) for value in lost)
    if read.get("pattern") not in (None, written.get("pattern")) or not _is_within(read, written):
        yield _Rejection(at, _describe(written))
    for name in read.get("required", ()):
        if name not in written.get("required", ()):
            yield _Rejection(f"{at}.{name}", "its absence")
    known = read.get("properties", {})
    for name, schema in written.get("properties", {}).items():
        if name in known:
            yield from _find_rejections(reader, known[name], writer, schema, f"{at}.{name}")
        elif read.get("additionalProperties") is False:
            yield _Rejection(f"{at}.{name}", "the field")
    if read.get("additionalProperties") is False and written.get("additionalProperties", True):
        yield _Rejection(at, "fields of any name")
    for part, suffix in (("items", "[]"), ("propertyNames", ".*"), ("additionalProperties", ".*")):
        if isinstance(inner := read.get(part), dict):
            outer = written.get(part, {})  # Absent or true: any value.
            outer = {} if outer is True else outer
            if outer is not False:
                yield from _find_rejections(reader, inner, writer, outer, at + suffix)


def _find_removals(
    before: _Document, old_schema: Schema, after: _Document, new_schema: Schema, at: str = ""
) -> Iterator[str]:
    """Yield removals and changes of defaults that are not rejections."""
    if (
        old_schema.get("default") != new_schema.get("default")
        and "default" in old_schema
        and "default" in new_schema
    ):
        defaults = f"{old_schema['default']!r} to {new_schema['default']!r}"
        yield f"{at}: the default changed from {defaults}"
    old, new = before.options(old_schema), after.options(new_schema)
    is_open = any(option.get("type") == "string" and not _enum_values(option) for option in new)
    lost = _enum_values(*old) - _enum_values(*new)
    if is_open and lost and _enum_values(*new):  # A closed enum is a rejection instead.
        yield f"{at}: {', '.join(sorted(lost))} was removed"
    fields = _fields(new)
    is_closed = any(option.get("additionalProperties") is False for option in new)
    for name, schema in _fields(old).items():
        if name in fields:
            yield from _find_removals(before, schema, after, fields[name], f"{at}.{name}")
        elif not is_closed:
            yield f"{at}.{name}: the field was removed"
    for part, suffix in (("items", "[]"), ("additionalProperties", ".*")):
        inner, outer = _part(old, part), _part(new, part)
        if inner and outer:
            yield from _find_removals(before, inner, after, outer, at + suffix)


def _is_of_type(read: Schema, written: Schema) -> bool:
    wanted, given = read.get("type"), written.get("type")
    return wanted in (None, given) or (wanted, given) == ("number", "integer")


def _is_within(read: Schema, written: Schema) -> bool:
    no_limit = float("inf")
    return (
        _lower_bound(written) >= _lower_bound(read)
        and _upper_bound(written) <= _upper_bound(read)
        and all(written.get(size, no_limit) <= read.get(size, no_limit) for size in _SIZES)
    )


def _lower_bound(schema: Schema) -> tuple[float, bool]:
    """Return the lower bound, and whether it is exclusive; the larger is stricter."""
    if "exclusiveMinimum" in schema:
        return schema["exclusiveMinimum"], True
    return schema.get("minimum", float("-inf")), False


def _upper_bound(schema: Schema) -> tuple[float, bool]:
    """Return the upper bound, and whether it is inclusive; the smaller is stricter."""
    if "exclusiveMaximum" in schema:
        return schema["exclusiveMaximum"], False
    return schema.get("maximum", float("inf")), True


def _enum_values(*options: Schema) -> set[str]:
    words = {type_word for option in options for type_word in option.get("enum", ())}
    return words | {option["const"] for option in options if "const" in option}


def _fields(options: list[Schema]) -> dict[str, Schema]:
    return {name: s for option in options for name, s in option.get("properties", {}).items()}


def _part(options: list[Schema], part: str) -> Schema | None:
    return next((o[part] for o in options if isinstance(o.get(part), dict)), None)


def _describe(schema: Schema) -> str:
    limits = ("const", "enum", "pattern", "minimum", "exclusiveMinimum", "maximum", *_SIZES)
    bounds = [f"{name} {schema[name]}" for name in limits if name in schema]
    return " ".join([schema.get("type", "any value"), *bounds])
