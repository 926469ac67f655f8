"""Processes and the files they share: identity, launching, runtime directories, locks, logs."""
