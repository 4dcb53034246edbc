"""Whole sequences as arrays in, arrays out. Nothing here knows of cells."""
