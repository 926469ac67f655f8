"""The server's side of a worker process: its start, its link, its end, its task logs."""
