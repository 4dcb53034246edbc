"""The layers of torch with its default threads, and TorchRL's kernels for GPUs.

The layers are used as torch's documentation recommends. TorchRL's kernels are those of
its backend "triton": LSTM and GRU with resets within a sequence. They take weights in
float32.
"""

from functools import partial

import torch  # pyright: ignore[reportMissingImports]
from measuring.workload import FORWARD, FORWARD_BACKWARD, RESETS, Workload

from contest.program import Program

NEEDED = "cuda"  # by TorchRL's kernels
_LAYERS = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
_STATES = {"rnn": "h", "lstm": "hc", "gru": "h"}


def programs(library: str, work: Workload) -> dict[str, Program]:
    """Both directions of a layer, which compute the same as `jax_programs.programs`.

    Raises:
      ImportError: If the library is not installed.
      LookupError: If it has no such layer.
      ArithmeticError: If its results have a wrong shape, are zero or not finite.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    make = {"torch": _torch, "torchrl": _torchrl}[library]
    generator = torch.manual_seed(0)

    def normal(*shape, dtype=None):
        dtype = getattr(torch, work.dtype) if dtype is None else dtype
        values = torch.randn(*shape, generator=generator).to(device, dtype)
        return values.requires_grad_()

    unroll, inputs = make(work, device, normal)

    def forward():
        with torch.no_grad():
            return unroll()

    ys = forward()
    cotangent = normal(*ys.shape, dtype=ys.dtype).detach()

    def gradient():
        return torch.autograd.grad((unroll() * cotangent).sum(), inputs)

    def run(program):
        program()
        if device == "cuda":
            torch.cuda.synchronize()

    if sorted(ys.shape) != sorted((work.batch, work.time, work.hidden)):
        raise ArithmeticError(f"{library} returns {list(ys.shape)}")
    for values in (ys, *gradient()):
        if not (values.isfinite().all() and values.any()):
            raise ArithmeticError(f"{library} computes zeros or no numbers")
    return {
        FORWARD: Program(partial(run, forward)),
        FORWARD_BACKWARD: Program(partial(run, gradient)),
    }


def _torch(work, device, normal):
    """A layer over a sequence ``[T, B, D]``, and the inputs of its gradient."""
    if work.resets:
        raise LookupError("it has no resets within a sequence")
    xs, states = normal(work.time, work.batch, work.input), []
    for _ in _STATES[work.cell]:
        states.append(normal(1, work.batch, work.hidden))
    state = tuple(states) if len(states) > 1 else states[0]
    layer = _LAYERS[work.cell](work.input, work.hidden).to(device, xs.dtype)
    return lambda: layer(xs, state)[0], [*layer.parameters(), *states, xs]


def _torchrl(work, device, normal):
    """The same for ``[B, T, D]``, with a state to reset to at each step."""
    from torchrl.modules.tensordict_module import (  # pyright: ignore[reportMissingImports]
        _rnn_triton,
    )

    if work.cell not in ("lstm", "gru"):
        raise LookupError(f"it has no {work.cell}")
    if device != NEEDED:
        raise LookupError("its kernels are Triton's, which are for GPUs")
    kernel = {"lstm": _rnn_triton.lstm_triton, "gru": _rnn_triton.gru_triton}[work.cell]
    float32, compute = torch.float32, getattr(torch, work.dtype)
    xs = normal(work.batch, work.time, work.input, dtype=float32)
    states = [
        normal(work.batch, work.time, work.hidden, dtype=float32)
        for _ in _STATES[work.cell]
    ]
    layer = _LAYERS[work.cell](work.input, work.hidden).to(device)
    weights = list(layer.parameters())
    anew = torch.rand(work.batch, work.time, device=device) < RESETS * work.resets
    return (
        lambda: kernel(xs, *states, *weights, anew, compute)[0],
        [*weights, *states, xs],
    )
