"""The contract of `LifecycleEngine`: queue, transitions and history."""

from __future__ import annotations

from zmqruntime.testing.contracts.history_contract import HistoryContract
from zmqruntime.testing.contracts.queue_contract import QueueContract
from zmqruntime.testing.contracts.transition_contract import TransitionContract

__all__ = ["LifecycleEngineContract"]


class LifecycleEngineContract(QueueContract, TransitionContract, HistoryContract):
    """Tests that every lifecycle engine passes.

    Derive from it in a test module: ``class TestMyEngine(LifecycleEngineContract)``.
    """
