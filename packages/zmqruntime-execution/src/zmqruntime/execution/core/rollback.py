"""Rollback: which effects of a failed commit are still performed."""

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

__all__ = ["find_assigned", "keep_effects"]


def find_assigned(effects: Iterable[Effect]) -> set[str]:
    """Return the ids of the executions whose assignment is among the effects."""
    return {effect.execution_id for effect in effects if isinstance(effect, AssignTask)}


def keep_effects(
    effects: Iterable[Effect],
    rolled_back: Set[str],
    unassigned: Set[str],
    error_reply: ErrorReply,
) -> list[Effect]:
    """Return the effects that remain when a commit has failed.

    Assignments are dropped, with the interrupts of what was not assigned; so is `Exit`, which is
    decided anew. Replies about an execution that was rolled back become ``error_reply``, and its
    events are dropped.
    """
    kept: list[Effect] = []
    for effect in effects:
        match effect:
            case Reply(caller, _, execution_id) | LargeReply(caller, _, execution_id) if (
                execution_id in rolled_back
            ):
                kept.append(Reply(caller, encode_with_id(error_reply, caller.request_id)))
            case Publish() if effect.execution_id in rolled_back:
                pass
            case InterruptTask() if effect.execution_id in unassigned:
                pass
            case AssignTask() | Exit():
                pass
            case _:
                kept.append(effect)
    return kept
