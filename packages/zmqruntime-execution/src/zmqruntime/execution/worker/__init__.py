"""The worker process: the server's side (parent), the worker's side (child), and their link."""
