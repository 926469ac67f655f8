"""Executions: their states, their queue and their history, without I/O."""
