"""XLA's own loops with a hand-derived backward pass.

Differentiating a scan adds each step's share to the weight gradient inside the loop:
``T`` small products, and ``T`` passes over an array as large as the weights. Here the
reverse scan carries the state's gradient alone and puts aside the gradient ``dz_t`` of
each step's pre-activations; the weights' gradients are then large products, one for
each chunk of time::

    z_t = x_t W + b,  u_t = h_tm1 U                             forward
    dh_tm1 = … + du_t Uᵀ                                        reverse scan
    dW = Σ_t x_tᵀ dz_t,  dU = Σ_t h_tm1ᵀ du_t,  db = Σ_t dz_t   after each chunk
"""

from jaxtext.kernels.fused import backward, forward
from jaxtext.kernels.gates import Passes

FUSED = Passes(
    forward.forward,
    forward.record,
    backward.backward,
    lacks=lambda *_: None,
    divisible=True,
)
