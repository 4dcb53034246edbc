"""The families of faults that ``tools/faults.py`` tries, and what they share."""
