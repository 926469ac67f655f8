"""The scheduler: events in, effects out, without sockets, threads or clocks."""
