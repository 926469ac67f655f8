"""What is promised about speed and size, measured beside the limit and beside the alternatives."""
