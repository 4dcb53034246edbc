"""The least training that says anything about a model."""

FEW = 100  # steps; comparisons refuse fewer, and a budget for fewer gives a warning
