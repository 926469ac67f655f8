"""What is left to do of a round whose changes could not be committed."""

from __future__ import annotations

from collections.abc import Iterable, Set

from zmqruntime.execution.core.effects import (
    AssignTask,
    Effect,
    Exit,
    InterruptTask,
    LargeReply,
    Publish,
    Reply,
)
from zmqruntime.messages import ErrorReply
from zmqruntime.messages.lowlevel import encode_with_id

__all__ = ["assigned_in", "what_is_left"]


def assigned_in(effects: Iterable[Effect]) -> set[str]:
    """Return the executions that were to be handed to the worker."""
    return {effect.execution_id for effect in effects if isinstance(effect, AssignTask)}


def what_is_left(
    effects: Iterable[Effect], withdrawn: Set[str], unassigned: Set[str], refusal: ErrorReply
) -> list[Effect]:
    """Return the effects without those on what was withdrawn, whose callers are refused.

    Nothing is assigned, or told to stop that was to be assigned. An `Exit` is left out: it is
    for the end of what is done now.
    """
    left: list[Effect] = []
    for effect in effects:
        match effect:
            case Reply(caller, _, execution_id) | LargeReply(caller, _, execution_id) if (
                execution_id in withdrawn
            ):
                left.append(Reply(caller, encode_with_id(refusal, caller.request_id)))
            case Publish() if effect.execution_id in withdrawn:
                pass
            case InterruptTask() if effect.execution_id in unassigned:
                pass
            case AssignTask() | Exit():
                pass
            case _:
                left.append(effect)
    return left
