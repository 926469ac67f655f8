"""Hypothesis strategies of all messages, derived from the models: ``st.from_type(PongReply)``."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from hypothesis import settings
from hypothesis import strategies as st
from pydantic import BaseModel, StringConstraints
from pydantic.fields import FieldInfo

from zmqruntime import messages
from zmqruntime.messages import JsonObject, JsonValue

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))  # The package `contract`.

# No deadline: a slow machine is not a failure.
settings.register_profile("no-deadline", settings.default, deadline=None)
settings.load_profile("no-deadline")

leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
json_values = st.recursive(
    leaves | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
json_objects = st.dictionaries(st.text(max_size=5), json_values, max_size=3)


def strategy_of(hint: Any) -> st.SearchStrategy[Any]:
    """Return the strategy of a field's type, within the bounds of its annotations."""
    if hint == JsonValue:
        return json_values
    if hint == JsonObject:
        return json_objects
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _within_bounds(arguments[0], arguments[1:])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(strategy_of(arguments[0]), max_size=2).map(tuple)
    if origin is dict:
        keys, values = map(strategy_of, arguments)
        return st.dictionaries(keys, values, max_size=3)
    if arguments:  # A union.
        return st.one_of([strategy_of(member) for member in arguments])
    if issubclass(hint, int | float | str) and not issubclass(hint, Enum):
        return _within_bounds(hint, ())
    return st.deferred(lambda: st.from_type(hint))  # A model, registered below.


def _within_bounds(base: Any, metadata: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    bounds: dict[str, Any] = {}
    for item in metadata:
        for bound in item.metadata if isinstance(item, FieldInfo) else [item]:
            if isinstance(bound, StringConstraints):
                bounds["pattern"] = bound.pattern
            bounds |= {k: getattr(bound, k) for k in ("ge", "gt", "le") if hasattr(bound, k)}
    minimum, maximum = bounds.get("ge", bounds.get("gt")), bounds.get("le")
    if base is int:
        return st.integers(minimum + ("gt" in bounds) if minimum is not None else None, maximum)
    if base is float:
        return st.floats(
            minimum, maximum, exclude_min="gt" in bounds, allow_nan=False, allow_infinity=False
        )
    if base is str:
        pattern = bounds.get("pattern")
        return st.from_regex(pattern, fullmatch=True) if pattern else st.text(max_size=10)
    return st.from_type(base) if base is bool else strategy_of(base)


def _strategy_of_model(model: type[BaseModel]) -> st.SearchStrategy[BaseModel]:
    hints = get_type_hints(model, include_extras=True)
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for name, field in model.model_fields.items():
        (required if field.is_required() else optional)[name] = strategy_of(hints[name])
    values = st.fixed_dictionaries(required, optional=optional)
    return values.map(lambda chosen: model(**chosen))


for _name in vars(messages)["__all__"]:
    _model = getattr(messages, _name)
    if isinstance(_model, type) and issubclass(_model, BaseModel):
        st.register_type_strategy(_model, _strategy_of_model(_model))
