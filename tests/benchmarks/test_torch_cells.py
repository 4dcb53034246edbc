"""TorchRL's kernels are given what they expect: here a loop stands in for them."""

import sys
from types import ModuleType

import pytest

torch = pytest.importorskip("torch", reason="make test-peers installs torch")

from contest import torch_cells  # noqa: E402
from measuring.workload import DIRECTIONS, Workload  # noqa: E402


def kernel(make):
    """A loop over torch's own cell with the kernels' signature."""

    def run(x, *rest):
        *states, w_ih, w_hh, b_ih, b_hh, anew, dtype = rest
        assert dtype == torch.float32
        cell = make(x.shape[-1], states[0].shape[-1])
        weights = {"weight_ih": w_ih, "weight_hh": w_hh, "bias_ih": b_ih}
        weights["bias_hh"] = b_hh
        state, hs = tuple(s[:, 0] for s in states), []
        for t in range(x.shape[1]):
            begin = tuple(s[:, t] for s in states)
            state = tuple(
                torch.where(anew[:, t, None], a, b)
                for a, b in zip(begin, state, strict=True)
            )
            given = state if len(state) > 1 else state[0]
            after = torch.func.functional_call(cell, weights, (x[:, t], given))
            state = after if isinstance(after, tuple) else (after,)
            hs.append(state[0])
        return torch.stack(hs, 1), state

    return run


@pytest.fixture
def torchrl(monkeypatch):
    names = "torchrl", "torchrl.modules", "torchrl.modules.tensordict_module"
    for name in names:
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    kernels = ModuleType("_rnn_triton")
    kernels.lstm_triton = kernel(torch.nn.LSTMCell)
    kernels.gru_triton = kernel(torch.nn.GRUCell)
    sys.modules[names[-1]]._rnn_triton = kernels


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_torchrl_takes_resets(cell, torchrl, monkeypatch):
    work = Workload(cell, 2, 5, 3, 4, "float32", True)
    with pytest.raises(LookupError, match="for GPUs"):
        torch_cells.programs("torchrl", work)
    monkeypatch.setattr(torch_cells, "NEEDED", "cpu")
    programs = torch_cells.programs("torchrl", work)
    assert set(programs) == set(DIRECTIONS)
    for program in programs.values():
        program.run()


def test_what_it_has_not_is_told(torchrl):
    with pytest.raises(LookupError, match="it has no rnn"):
        torch_cells.programs("torchrl", Workload("rnn", 2, 5, 3, 4, "float32"))
    with pytest.raises(LookupError, match="no resets"):
        torch_cells.programs("torch", Workload("gru", 2, 5, 3, 4, "float32", True))
