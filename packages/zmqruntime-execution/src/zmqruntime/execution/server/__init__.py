"""The server's process: session, dispatcher, group commit."""
