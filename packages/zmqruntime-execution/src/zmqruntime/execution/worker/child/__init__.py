"""The worker process itself, which runs one task at a time in its main thread."""
