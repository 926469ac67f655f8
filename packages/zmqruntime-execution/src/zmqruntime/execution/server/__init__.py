"""The server's process: its session, the dispatcher of events and effects, group commit."""
