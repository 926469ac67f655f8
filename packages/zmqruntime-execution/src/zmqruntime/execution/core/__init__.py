"""The pure heart: events in, effects out, with no socket, thread or clock."""

from zmqruntime.execution.core.chances import RestartPolicy
from zmqruntime.execution.core.event_log import EventLog
from zmqruntime.execution.core.events import Now
from zmqruntime.execution.core.scheduler import Scheduler

__all__ = ["EventLog", "Now", "RestartPolicy", "Scheduler"]
