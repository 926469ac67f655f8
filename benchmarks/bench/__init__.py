"""Benchmarks of speed and size against bare pyzmq and other job runtimes."""
