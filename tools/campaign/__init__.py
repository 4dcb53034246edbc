"""The families of faults of ``tools/faults.py``, and the parts that they share."""
