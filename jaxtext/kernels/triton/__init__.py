"""Kernels for NVIDIA's GPUs: one program takes sixteen sequences through all of time.

A scan on a GPU launches several kernels for every step. Here one walks the whole
sequence: the step's products run tile by tile of the hidden axis, with recurrent
weights that stay in the cache of the multiprocessor, and the state goes from one step
to the next through a small buffer that stays there too. All products that need not wait
for the step before (input, weight gradients) are XLA's. Weights beyond that cache are
better off with XLA's own loops (`jaxtext.kernels.fused`).

Written in Pallas and compiled by Triton; where there is no GPU they are interpreted,
which is for tests. JAX 0.11 deprecates this compiler for Pallas, and warns at each
lowering.
"""

from jaxtext.kernels.gates import Passes
from jaxtext.kernels.triton import backward, forward, operands

TRITON = Passes(forward.forward, forward.record, backward.backward, operands.lacks)
