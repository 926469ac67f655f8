"""How many instructions the main paths take: a figure that a busy machine does not change."""
