"""The client's process: submit, wait, follow progress, launch a server."""
