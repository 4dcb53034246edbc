"""Which checkpoints of a series stay."""

from collections.abc import Sequence


def superseded(steps: Sequence[int], step: int, keep: int) -> list[int]:
    """The steps of the checkpoints that a new one supersedes, in the order given.

    Args:
      steps: Those of all checkpoints of the series, the new one included.
      step: That of the new one.
      keep: How many checkpoints of up to this step to keep, this one included.

    Example:
      >>> superseded([1, 3, 5, 9], 5, keep=2)
      [1]
      >>> superseded([1, 3, 5, 9], 5, keep=1)
      [1, 3, 9]
    """
    kept = sorted((s for s in steps if s <= step), reverse=True)[:keep]
    # Later states stay. A later best goes: the run was killed after it, continued from
    # an earlier state, and will come to that step again.
    return [s for s in steps if s not in kept and (s < step or keep == 1)]
