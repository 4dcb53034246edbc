"""Cells of jaxtext and of other libraries, in processes that are timed in turns."""
