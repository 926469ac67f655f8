"""Instruction counts of the main paths, which do not depend on the load of the machine."""
