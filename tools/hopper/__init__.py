"""Compiles kernels for a Hopper GPU without one, and computes its speed limits."""
