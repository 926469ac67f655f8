"""The checks, by the part of the protocol page that they judge; each names its sentences."""
