"""Tasks in a process of their own: the parent's side, the child's side, what a task is given."""
