"""Cells of jaxtext and of other libraries, each in a process, timed in turns."""
