"""Training loops that are timed side by side: ours, and those of other libraries."""
