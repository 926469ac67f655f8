"""The states of executions: the table of moves, the interface of an engine, the one in memory."""
