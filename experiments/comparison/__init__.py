"""The parts of ``compare_cells.py``: its runs, the report, the picture."""
