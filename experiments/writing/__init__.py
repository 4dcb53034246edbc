"""The parts of ``sample.py``: flags for the rules of decoding, and several texts."""
