"""The parts of ``look_inside.py``: units, properties of a text, and the page."""
