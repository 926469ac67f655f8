"""Processes and the files that they share: identity, launcher, directories, locks, logs."""
