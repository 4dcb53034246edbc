"""The parts of ``char_gen.py``: a character-level language model and its training."""
