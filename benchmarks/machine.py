"""Prints the versions and the hardware of this machine, as every result has them.

    python benchmarks/machine.py

The last line on standard output is one JSON object.
"""

from measuring import record

if __name__ == "__main__":
    record.print_last_line(record.environment())
