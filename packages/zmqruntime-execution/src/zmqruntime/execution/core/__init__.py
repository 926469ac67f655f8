"""The pure heart: events in, effects out, with no socket, thread or clock."""
