"""The parts of ``memory.py`` and ``gradient_reach.py``: tasks that ask for memory."""
