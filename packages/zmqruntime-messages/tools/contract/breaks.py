"""Whether a change of the schemas leaves older peers of the same protocol version working.

A request goes from an older client to a newer server: what was taken must still be taken. A reply
or an event goes from a newer server to an older client, and from an older server to a newer one:
its fields may only become more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

__all__ = ["find_breaks"]

Schema = dict[str, Any]
Schemas = dict[str, Schema]

_UNDERSTOOD: Final = {
    *("$ref", "anyOf", "oneOf", "type", "const", "enum", "pattern"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("properties", "required", "additionalProperties", "propertyNames", "items"),
    *("$defs", "title", "description", "default"),
}


def find_breaks(old: Schemas, new: Schemas) -> list[str]:
    """Return what ``new`` breaks for peers of ``old``, one sentence each; none when nothing.

    Both are what ``make_schemas()`` returns. The schemas must not be recursive.

    Raises:
        ValueError: a schema has a word that this check does not know, so it cannot tell.
    """
    breaks: list[str] = []
    for kind in ("request", "reply", "event"):
        before, after = _Document(old[kind]), _Document(new[kind])
        for word in before.messages:
            if word not in after.messages:
                breaks.append(f"{kind} {word}: there is no such message any more")
        for word, was in before.messages.items():
            if word not in after.messages:
                continue
            now, where = after.messages[word], f"{kind} {word}"
            breaks += [f"{where}{change}" for change in _find_changes(before, was, after, now)]
            if kind == "request":
                refusals = _find_refusals(after, now, before, was)
                breaks += [f"{where}{why}, which a server took before" for why in refusals]
            else:
                refusals = _find_refusals(before, was, after, now)
                breaks += [f"{where}{why}, which an older client refuses" for why in refusals]
                refusals = _find_refusals(after, now, before, was)
                breaks += [f"{where}{why}, which an older server sends" for why in refusals]
        if kind == "event":  # a new reply only answers a new request; events come unasked
            for word in after.messages.keys() - before.messages.keys():
                breaks.append(f"event {word}: is new, and older clients refuse it")
    return list(dict.fromkeys(breaks))


class _Document:
    """One schema with its definitions, and the messages in it by their type."""

    def __init__(self, schema: Schema) -> None:
        self._definitions: Schemas = schema["$defs"]
        self.messages: Schemas = {
            message["properties"]["type"]["const"]: message
            for option in schema["oneOf"]
            for message in self.options(option)
        }

    def options(self, schema: Schema) -> list[Schema]:
        """Return the schemas of which a value has to match one: no reference, no union."""
        if unknown := schema.keys() - _UNDERSTOOD:
            raise ValueError(f"find_breaks does not know {sorted(unknown)}: teach it what they say")
        if "$ref" in schema:
            return self.options(self._definitions[schema["$ref"].removeprefix("#/$defs/")])
        union = schema.get("anyOf") or schema.get("oneOf")
        if union:
            return [option for member in union for option in self.options(member)]
        return [schema]


def _find_refusals(
    reader: _Document, takes: Schema, writer: _Document, sends: Schema, at: str = ""
) -> list[str]:
    """Return why a reader that ``takes`` this might refuse what a writer ``sends``."""
    taken = reader.options(takes)
    refusals: list[str] = []
    for option in writer.options(sends):
        tries = [_refuse(reader, candidate, writer, option, at) for candidate in taken]
        if all(tries):  # of the reasons, those of the closest candidate tell most
            alike = [t for t, c in zip(tries, taken, strict=True) if _type(c) == _type(option)]
            refusals += min(alike, key=len) if alike else [f"{at}: {_describe(option)}"]
    return refusals


def _refuse(
    reader: _Document, takes: Schema, writer: _Document, sends: Schema, at: str
) -> list[str]:
    if not _is_of_type(takes, sends):
        return [f"{at}: {_describe(sends)}"]
    if lost := _words(sends) - _words(takes) if _words(takes) else set():
        return [f"{at}: {', '.join(sorted(lost))}"]
    if _words(takes) and not _words(sends):
        return [f"{at}: any {sends.get('type', 'value')}"]
    if not _is_within_bounds(takes, sends):
        return [f"{at}: {_describe(sends)}"]
    refusals = list(_refuse_fields(reader, takes, writer, sends, at))
    for part, suffix in (("items", "[]"), ("propertyNames", ".*"), ("additionalProperties", ".*")):
        inner, sent = takes.get(part), sends.get(part, {})
        if isinstance(inner, dict) and isinstance(sent, dict):
            refusals += _find_refusals(reader, inner, writer, sent, at + suffix)
    return refusals


def _refuse_fields(
    reader: _Document, takes: Schema, writer: _Document, sends: Schema, at: str
) -> Iterator[str]:
    known, sent = takes.get("properties", {}), sends.get("properties", {})
    for name in takes.get("required", ()):
        if name not in sends.get("required", ()):
            yield f"{at}.{name}: its absence"
    for name, schema in sent.items():
        if name in known:
            yield from _find_refusals(reader, known[name], writer, schema, f"{at}.{name}")
        elif takes.get("additionalProperties") is False:
            yield f"{at}.{name}: such a field"


def _is_of_type(takes: Schema, sends: Schema) -> bool:
    wanted, given = _type(takes), _type(sends)
    return wanted is None or wanted == given or (wanted, given) == ("number", "integer")


def _is_within_bounds(takes: Schema, sends: Schema) -> bool:
    if takes.get("pattern") not in (None, sends.get("pattern")):
        return False
    least, most = _least(takes), _most(takes)
    return (least is None or (_least(sends) or (float("-inf"), False)) >= least) and (
        most is None or (_most(sends) or (float("inf"), False)) <= most
    )


def _least(schema: Schema) -> tuple[float, bool] | None:
    """Return the lower bound, and whether it is itself excluded; comparable."""
    if "exclusiveMinimum" in schema:
        return schema["exclusiveMinimum"], True
    return (schema["minimum"], False) if "minimum" in schema else None


def _most(schema: Schema) -> tuple[float, bool] | None:
    """Return the upper bound, and whether it is itself included; comparable."""
    if "exclusiveMaximum" in schema:
        return schema["exclusiveMaximum"], False
    return (schema["maximum"], True) if "maximum" in schema else None


def _find_changes(
    before: _Document, was: Schema, after: _Document, now: Schema, at: str = ""
) -> Iterator[str]:
    """Yield what a peer may lean on, and would miss, though nothing is refused."""
    if was.get("default") != now.get("default", was.get("default")):
        yield f"{at}: means {now['default']!r} when absent, and was {was.get('default')!r}"
    old, new = before.options(was), after.options(now)
    lost = set().union(*map(_words, old)) - set().union(*map(_words, new))
    if lost and {} not in new:
        yield f"{at}: {', '.join(sorted(lost))} is no word any more"
    fields = _fields(new)
    for name, schema in _fields(old).items():
        if name in fields:
            yield from _find_changes(before, schema, after, fields[name], f"{at}.{name}")
        else:
            yield f"{at}.{name}: there is no such field any more"
    for part, suffix in (("items", "[]"), ("additionalProperties", ".*")):
        inner, outer = _part(old, part), _part(new, part)
        if inner is not None and outer is not None:
            yield from _find_changes(before, inner, after, outer, at + suffix)


def _fields(options: list[Schema]) -> Schemas:
    return {name: s for option in options for name, s in option.get("properties", {}).items()}


def _part(options: list[Schema], part: str) -> Schema | None:
    found = (option[part] for option in options if isinstance(option.get(part), dict))
    return next(found, None)


def _words(schema: Schema) -> set[str]:
    return set(schema.get("enum", ())) | ({schema["const"]} if "const" in schema else set())


def _type(schema: Schema) -> Any:
    return schema.get("type")


def _describe(schema: Schema) -> str:
    shown = ("const", "enum", "pattern", "minimum", "exclusiveMinimum", "maximum")
    limits = [f"{name} {schema[name]}" for name in shown if name in schema]
    return " ".join([str(schema.get("type", "any value")), *limits])
