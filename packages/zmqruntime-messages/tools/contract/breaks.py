"""Compatibility of two versions of the schemas within one protocol version.

Requests go from older clients to newer servers: what was accepted must still be accepted. Replies
and events go from newer servers to older clients and from older servers to newer clients: each
client must accept them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

__all__ = ["find_breaks"]

Schema = dict[str, Any]

_SIZES: Final = ("maxItems", "maxLength", "maxProperties")

_SUPPORTED: Final = {
    *_SIZES,
    *("$ref", "anyOf", "oneOf", "type", "const", "enum", "pattern"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("properties", "required", "additionalProperties", "propertyNames", "items"),
    *("$defs", "title", "description", "default"),
}


def find_breaks(old: dict[str, Schema], new: dict[str, Schema]) -> list[str]:
    """Return the incompatibilities of ``new`` with peers of ``old``, one message each.

    Both are results of ``make_schemas()``. The schemas must not be recursive.

    Raises:
        ValueError: a schema has an unsupported keyword.
    """
    breaks: list[str] = []
    for kind in ("request", "reply", "event"):
        before, after = _Document(old[kind]), _Document(new[kind])
        for word, was in before.messages.items():
            where = f"{kind} {word}"
            if word not in after.messages:
                breaks.append(f"{where}: the message was removed")
                continue
            now = after.messages[word]
            breaks += [f"{where}{loss}" for loss in _find_losses(before, was, after, now)]
            newer = _find_refusals(after, now, before, was)
            if kind == "request":
                breaks += [f"{where}{at}: servers no longer accept {what}" for at, what in newer]
                continue
            older = _find_refusals(before, was, after, now)
            breaks += [f"{where}{at}: older clients reject {what}" for at, what in older]
            breaks += [f"{where}{at}: older servers may send {what}" for at, what in newer]
        if kind == "event":  # A new reply only answers a new request; events are unsolicited.
            added = sorted(after.messages.keys() - before.messages.keys())
            breaks += [f"event {word}: older clients reject the new event" for word in added]
    return breaks


class _Refusal(NamedTuple):
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
            raise ValueError(f"unsupported keywords {sorted(unknown)}: extend find_breaks")
        if "$ref" in schema:
            return self.options(self._definitions[schema["$ref"].removeprefix("#/$defs/")])
        if union := schema.get("anyOf") or schema.get("oneOf"):
            return [option for member in union for option in self.options(member)]
        return [schema]


def _find_refusals(
    reader: _Document, takes: Schema, writer: _Document, sends: Schema, at: str = ""
) -> list[_Refusal]:
    """Return what a reader of ``takes`` rejects of the values of ``sends``."""
    refusals: list[_Refusal] = []
    for sent in writer.options(sends):
        tries: list[list[_Refusal]] = []
        for taken in reader.options(takes):
            if not _is_of_type(taken, sent):
                continue
            tries.append(list(_refuse(reader, taken, writer, sent, at)))
        if not tries:
            refusals.append(_Refusal(at, _describe(sent)))
        elif all(tries):
            refusals += tries[0]
    return refusals


def _refuse(
    reader: _Document, takes: Schema, writer: _Document, sends: Schema, at: str
) -> Iterator[_Refusal]:
    """Yield what one alternative rejects of another one of its type."""
    if words := _words(takes):
        lost = sorted(_words(sends) - words) if _words(sends) else [_describe(sends)]
        yield from (_Refusal(at, word) for word in lost)
    if takes.get("pattern") not in (None, sends.get("pattern")) or not _is_within(takes, sends):
        yield _Refusal(at, _describe(sends))
    for name in takes.get("required", ()):
        if name not in sends.get("required", ()):
            yield _Refusal(f"{at}.{name}", "its absence")
    known = takes.get("properties", {})
    for name, schema in sends.get("properties", {}).items():
        if name in known:
            yield from _find_refusals(reader, known[name], writer, schema, f"{at}.{name}")
        elif takes.get("additionalProperties") is False:
            yield _Refusal(f"{at}.{name}", "the field")
    if takes.get("additionalProperties") is False and sends.get("additionalProperties", True):
        yield _Refusal(at, "fields of any name")
    for part, suffix in (("items", "[]"), ("propertyNames", ".*"), ("additionalProperties", ".*")):
        if isinstance(inner := takes.get(part), dict):
            outer = sends.get(part, {})  # Absent or true: any value.
            outer = {} if outer is True else outer
            if outer is not False:
                yield from _find_refusals(reader, inner, writer, outer, at + suffix)


def _find_losses(
    before: _Document, was: Schema, after: _Document, now: Schema, at: str = ""
) -> Iterator[str]:
    """Yield what was removed or changed its meaning without being rejected."""
    if was.get("default") != now.get("default") and "default" in was and "default" in now:
        yield f"{at}: the default changed from {was['default']!r} to {now['default']!r}"
    old, new = before.options(was), after.options(now)
    is_open = any(option.get("type") == "string" and not _words(option) for option in new)
    lost = _words(*old) - _words(*new)
    if is_open and lost and _words(*new):  # A closed enum is a rejection instead.
        yield f"{at}: {', '.join(sorted(lost))} was removed"
    fields = _fields(new)
    is_closed = any(option.get("additionalProperties") is False for option in new)
    for name, schema in _fields(old).items():
        if name in fields:
            yield from _find_losses(before, schema, after, fields[name], f"{at}.{name}")
        elif not is_closed:
            yield f"{at}.{name}: the field was removed"
    for part, suffix in (("items", "[]"), ("additionalProperties", ".*")):
        inner, outer = _part(old, part), _part(new, part)
        if inner and outer:
            yield from _find_losses(before, inner, after, outer, at + suffix)


def _is_of_type(takes: Schema, sends: Schema) -> bool:
    wanted, given = takes.get("type"), sends.get("type")
    return wanted in (None, given) or (wanted, given) == ("number", "integer")


def _is_within(takes: Schema, sends: Schema) -> bool:
    no_limit = float("inf")
    return (
        _least(sends) >= _least(takes)
        and _most(sends) <= _most(takes)
        and all(sends.get(size, no_limit) <= takes.get(size, no_limit) for size in _SIZES)
    )


def _least(schema: Schema) -> tuple[float, bool]:
    """Return the lower bound, and whether it is exclusive; the larger is stricter."""
    if "exclusiveMinimum" in schema:
        return schema["exclusiveMinimum"], True
    return schema.get("minimum", float("-inf")), False


def _most(schema: Schema) -> tuple[float, bool]:
    """Return the upper bound, and whether it is inclusive; the smaller is stricter."""
    if "exclusiveMaximum" in schema:
        return schema["exclusiveMaximum"], False
    return schema.get("maximum", float("inf")), True


def _words(*options: Schema) -> set[str]:
    words = {word for option in options for word in option.get("enum", ())}
    return words | {option["const"] for option in options if "const" in option}


def _fields(options: list[Schema]) -> dict[str, Schema]:
    return {name: s for option in options for name, s in option.get("properties", {}).items()}


def _part(options: list[Schema], part: str) -> Schema | None:
    return next((o[part] for o in options if isinstance(o.get(part), dict)), None)


def _describe(schema: Schema) -> str:
    limits = ("const", "enum", "pattern", "minimum", "exclusiveMinimum", "maximum", *_SIZES)
    bounds = [f"{name} {schema[name]}" for name in limits if name in schema]
    return " ".join([schema.get("type", "any value"), *bounds])
