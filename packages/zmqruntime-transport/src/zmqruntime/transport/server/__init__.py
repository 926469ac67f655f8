"""The server: its bound sockets, session, replies, events and registrations."""
