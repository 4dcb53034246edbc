"""Talking with a trained network: the parts of ``talk.py``."""
