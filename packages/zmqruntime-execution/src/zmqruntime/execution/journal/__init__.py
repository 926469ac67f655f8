"""The journal: executions that outlive the server, in SQLite and a redo log beside it."""
