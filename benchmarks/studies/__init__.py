"""Presets with their variants, and the tables of their results."""
