"""The parts of ``runs.py``: what is read of a run, the table, the picture."""
