"""The server's side of a worker process: its start, its links, its end, its task logs."""
