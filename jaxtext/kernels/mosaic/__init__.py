"""Kernels for TPU: recurrent weights and state stay on the chip for all of a sequence.

A scan on TPU launches its step's fusions again for every step, reads the recurrent
weights anew and hands the state from one to the next through memory. These kernels,
written in Pallas and compiled by Mosaic, load the weights once; what streams past them,
in blocks of time, is ``x_t W + b`` on the way in, states and gates on the way out. All
products that need not wait for the step before (input, weight gradients) are XLA's.
Where there is no TPU they are interpreted, which is for tests.
"""

from jaxtext.kernels.late import late

MOSAIC = late(__name__)
