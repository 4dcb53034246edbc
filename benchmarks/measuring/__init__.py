"""The parts that measurements share: workloads, timing, and what is recorded."""
