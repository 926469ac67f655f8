"""A proxy that loses, delays, doubles, swaps and spoils messages, when a test says so."""

from zmqruntime.testing.faults.proxy import FaultProxy
from zmqruntime.testing.faults.rules import Fault, Lane, Rule

__all__ = ["Fault", "FaultProxy", "Lane", "Rule"]
