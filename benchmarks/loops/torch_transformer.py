"""The Transformer of `transformer.py` in torch, eager as on a CPU in nanoGPT."""

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]

from loops.learner import Sizes


class Block(nn.Module):
    """Causal attention and a layer of GELUs, each normalised before and added."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        width = sizes.width
        self.heads = sizes.heads
        self.norms = nn.ModuleList(nn.LayerNorm(width, bias=False) for _ in range(2))
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.mixed = nn.Linear(width, width, bias=False)
        self.inner = nn.Linear(width, 4 * width, bias=False)
        self.outer = nn.Linear(4 * width, width, bias=False)
        for last in (self.mixed, self.outer):
            last.deviation = 0.02 / np.sqrt(2 * sizes.layers)

    def forward(self, x):
        """Maps ``[B, T, W]`` to ``[B, T, W]``."""
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.qkv(self.norms[0](x)).chunk(3, dim=-1)
        )
        read = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.mixed(read.transpose(1, 2).flatten(2))
        return x + self.outer(functional.gelu(self.inner(self.norms[1](x))))


class Transformer(nn.Module):
    """GPT-2's Transformer without biases."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.symbols = nn.Embedding(sizes.symbols, sizes.width)
        self.places = nn.Embedding(sizes.block, sizes.width)
        self.blocks = nn.Sequential(*(Block(sizes) for _ in range(sizes.layers)))
        self.norm = nn.LayerNorm(sizes.width, bias=False)
        for part in self.modules():
            if isinstance(part, (nn.Linear, nn.Embedding)):
                nn.init.normal_(part.weight, std=getattr(part, "deviation", 0.02))

    def forward(self, ids):
        """Maps ids ``[B, T]`` to logits ``[B, T, V]``."""
        x = self.symbols(ids) + self.places(torch.arange(ids.shape[1]))
        return functional.linear(self.norm(self.blocks(x)), self.symbols.weight)


class Learner:
    """A Transformer and its optimizer; see `loops.learner.Learner`."""

    def __init__(self, sizes: Sizes, seed: int):
        torch.manual_seed(seed)
        self.model = Transformer(sizes)
        params = list(self.model.parameters())
        decayed = {"params": [p for p in params if p.ndim > 1], "weight_decay": 0.1}
        others = {"params": [p for p in params if p.ndim == 1], "weight_decay": 0.0}
        self.optimizer = torch.optim.AdamW([decayed, others], betas=(0.9, 0.99))
        self.parameters = sum(p.numel() for p in params)

    def step(self, inputs: np.ndarray, targets: np.ndarray, rate: float) -> float:
        """Takes a step, and returns the loss before it."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss = self._losses(inputs, targets).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.item()

    def losses(self, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """The loss of each target, ``[B, T]``."""
        with torch.no_grad():
            return self._losses(inputs, targets).numpy()

    def _losses(self, inputs, targets):
        logits = self.model(torch.from_numpy(inputs).long()).flatten(0, 1)
        expected = torch.from_numpy(targets).long().flatten()
        losses = functional.cross_entropy(logits, expected, reduction="none")
        return losses.view(targets.shape)
