"""The worker process itself: runs one task at a time in its main thread."""
