"""The pure heart: events in, effects out, with no socket, thread or clock."""

from zmqruntime.execution.core.events import Now
from zmqruntime.execution.core.scheduler import RestartPolicy, Scheduler

__all__ = ["Now", "RestartPolicy", "Scheduler"]
