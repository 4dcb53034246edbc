"""Prints the Pythons of this machine that jaxtext supports.

python tools/pythons.py             # all of them, oldest first
python tools/pythons.py --newest
"""

import sys

from matrix.pythons import find


def main(argv: list[str]) -> int:
    """Prints the paths, and returns the exit status."""
    paths = list(find().values())
    choices = {(): paths, ("--newest",): paths[-1:], ("--oldest",): paths[:1]}
    chosen = choices.get(tuple(argv))
    if chosen is None:
        print(f"usage: {sys.argv[0]} [--newest | --oldest]", file=sys.stderr)
        return 2
    print(*chosen, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
