"""The parts of ``evaluate.py``: the text to evaluate on, and the page."""
