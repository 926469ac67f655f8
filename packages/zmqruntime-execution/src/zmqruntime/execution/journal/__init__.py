"""The journal: executions persisted in SQLite, with a redo log beside the database."""
