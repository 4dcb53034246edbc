"""Kernels for Hopper GPUs: recurrent weights stay in shared memory for all of time.

A scan on a GPU launches several kernels for every step and reads the recurrent weights
again. Here one kernel walks the whole sequence. Its weights stay in the shared memory
of the multiprocessors, in one of three forms (`jaxtext.kernels.mosaic_gpu.tiles`):

- ``"block"``: small weights fit in one multiprocessor, which takes a few sequences
  through time and needs no other.
- ``"cluster"``: up to eight multiprocessors share the weights and the state.
- ``"grid"``: as many as it takes share them, up to all of the GPU.

Each worker of a team keeps the weights of some units, for all gates. In a step it
multiplies them with the whole state, computes its units, and hands them to the others.
All products that need not wait for the step before (input, weight gradients) are XLA's.

Written in Pallas and compiled by Mosaic GPU; where there is no GPU they are
interpreted, which is for tests. That part of Pallas is imported when a kernel is asked
for, since older versions of JAX lack it.
"""

from jaxtext.kernels.late import late

MOSAIC_GPU = late(__name__)
