"""The parts of ``tools/version_matrix.py``."""
