"""The parts of ``compile_tpu.py``: chips, the compiled step, and the report."""
