"""Kernels compiled for a Hopper GPU that is not there, and the limits of one."""
