"""torch's own layers, as its documentation says to use them, in its usual threads."""

from functools import partial

import torch  # pyright: ignore[reportMissingImports]
from program import Program
from workload import FORWARD, FORWARD_BACKWARD, Workload


def programs(library: str, work: Workload) -> dict[str, Program]:
    """Both directions of a layer; see `compile_jax.programs` for what they compute.

    Raises:
      LookupError: If there are resets, which torch has not.
      ArithmeticError: If what it computes has the wrong shape, is zero or not finite.
    """
    if work.resets:
        raise LookupError("it has no resets within a sequence")
    generator = torch.manual_seed(0)
    dtype = getattr(torch, work.dtype)
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def normal(*shape):
        values = torch.randn(*shape, generator=generator).to(device, dtype)
        return values.requires_grad_()

    make = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[work.cell]
    layer = make(work.input, work.hidden).to(device, dtype)
    xs = normal(work.time, work.batch, work.input)
    cotangent = normal(work.time, work.batch, work.hidden).detach()
    states = [normal(1, work.batch, work.hidden) for _ in "hc"]
    if work.cell == "lstm":
        state = tuple(states)
    else:
        state, states = states[0], states[:1]
    inputs = [*layer.parameters(), *states, xs]

    def forward():
        with torch.no_grad():
            return layer(xs, state)[0]

    def gradient():
        loss = (layer(xs, state)[0] * cotangent).sum()
        return torch.autograd.grad(loss, inputs)

    def run(program):
        program()
        if device == "cuda":
            torch.cuda.synchronize()

    ys = forward()
    if ys.shape != cotangent.shape:
        raise ArithmeticError(f"{library} returns {list(ys.shape)}")
    for values in (ys, *gradient()):
        if not (values.isfinite().all() and values.any()):
            raise ArithmeticError(f"{library} computes zeros or no numbers")
    return {
        FORWARD: Program(partial(run, forward)),
        FORWARD_BACKWARD: Program(partial(run, gradient)),
    }
