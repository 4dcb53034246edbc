"""The parts of ``export.py``: one file for each form."""
