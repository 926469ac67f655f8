"""A proxy that drops, delays, duplicates, reorders and corrupts messages."""

from zmqruntime.testing.faults.proxy import FaultProxy
from zmqruntime.testing.faults.rules import Fault, Lane, Rule

__all__ = ["Fault", "FaultProxy", "Lane", "Rule"]
