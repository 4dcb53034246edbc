"""Compiles layers for TPUs without a TPU, and reads the schedules of their kernels."""
