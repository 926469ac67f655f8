"""One driver for each system that is measured; each may need an environment of its own."""
