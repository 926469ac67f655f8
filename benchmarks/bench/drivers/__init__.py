"""One driver per measured system; each may need an environment of its own."""
