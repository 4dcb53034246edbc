"""Layers compiled for TPUs that are not there, and their schedules read."""
