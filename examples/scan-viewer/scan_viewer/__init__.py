"""Shows a picture while a scanner makes it, line by line."""
