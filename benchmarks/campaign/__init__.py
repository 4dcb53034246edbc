"""The families of faults that ``benchmarks/faults.py`` tries, and what they share."""
