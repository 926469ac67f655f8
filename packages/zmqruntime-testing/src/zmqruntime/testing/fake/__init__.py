"""Servers that run scripts, on sockets or in memory.

``python -m zmqruntime.testing.fake --port 7777`` serves clients in any language.
"""

from zmqruntime.testing.fake.in_memory_client import connect_in_memory
from zmqruntime.testing.fake.in_memory_server import InMemoryExecutionServer
from zmqruntime.testing.fake.script import Script
from zmqruntime.testing.fake.scripted_server import RequestType, ScriptedServer
from zmqruntime.testing.fake.server import FakeExecutionServer

__all__ = [
    "FakeExecutionServer",
    "InMemoryExecutionServer",
    "RequestType",
    "Script",
    "ScriptedServer",
    "connect_in_memory",
]
