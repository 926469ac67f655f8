"""Shows a picture line by line while it is scanned."""
