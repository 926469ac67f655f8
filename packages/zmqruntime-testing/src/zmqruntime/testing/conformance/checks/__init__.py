"""The checks, grouped by part of the protocol; each names the requirements that it covers."""
