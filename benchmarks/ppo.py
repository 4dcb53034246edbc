"""Recurrent PPO on a memory chain: jaxtext's GRU beside Flax's, scanned.

    python benchmarks/ppo.py --out benchmarks/results/ppo-cpu-2-cores.json
    python benchmarks/ppo.py --seeds 1 --updates 40
    python benchmarks/ppo.py --agents 32 --memory-length 20

Everything but the recurrent layer is the same program. The seeds of both take turns.
Compiling is not timed. The environment shows a bit once, and asks for it some steps
later: 1 for the right answer, -1 for the other. The last line on standard output is one
JSON object.
"""

import jaxtext.needs_experiments  # noqa: F401 (first)

import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from measuring import record
from measuring.command import chosen, command
from pages.speed import agents
from reinforcement.agents import AGENTS
from reinforcement.ppo import MINIBATCHES, Sizes, trainer

from jaxtext.errors import InputError
from jaxtext.streams import say


@dataclass(frozen=True)
class Config:
    """Train a recurrent policy by PPO with each library's GRU."""

    seeds: int = 5
    """How many trainings of each."""
    updates: int = 100
    """How many updates each training has."""
    hidden: int = 128
    """The width of the GRU."""
    agents: int = 4
    """How many environments run at once."""
    stretch: int = 128
    """How many steps of each environment an update learns from."""
    memory_length: int = 5
    """After how many steps the bit is asked for."""
    out: Path | None = None
    """Also write the JSON to this file."""


def measure(config: Config) -> dict[str, Any]:
    """Trains with both in turns, and returns the result.

    Raises:
      InputError: If agents cannot be divided into minibatches.
    """
    if config.agents % MINIBATCHES:
        raise InputError(
            f"agents: expected a multiple of {MINIBATCHES}, got {config.agents}"
        )
    sizes = Sizes(config.hidden, config.agents, config.stretch, config.updates)
    trains = {
        name: jax.jit(trainer(make, config.memory_length, sizes))
        .lower(jax.random.key(0))
        .compile()
        for name, make in AGENTS.items()
    }
    rows = []
    for seed in range(config.seeds):
        names = list(AGENTS) if seed % 2 else list(reversed(AGENTS))
        for name in names:
            begin = time.perf_counter()
            returns = np.asarray(trains[name](jax.random.key(seed)))
            seconds = time.perf_counter() - begin
            last = returns[-max(1, config.updates // 10) :].mean()
            speed = sizes.steps / seconds
            rows.append({"library": name, "seed": seed})
            rows[-1] |= {"steps_per_second": round(speed), "return": float(last)}
            say(f"{speed:9,.0f} steps/s, return {last:5.2f}  {name}, seed {seed}")
    ratios = [
        own["steps_per_second"] / other["steps_per_second"]
        for own, other in zip(*(_of(rows, name) for name in AGENTS), strict=True)
    ]
    names = "updates", "hidden", "agents", "stretch", "memory_length"
    return {
        "rows": rows,
        "ratios": [round(ratio, 3) for ratio in ratios],
        "median_ratio": round(statistics.median(ratios), 3),
        **chosen(config, *names),
        **record.environment(),
    }


def _of(rows, name):
    found = [row for row in rows if row["library"] == name]
    return sorted(found, key=lambda row: row["seed"])


def table(result: dict[str, Any]) -> str:
    """The result for a person to read."""
    return agents(result)


main = command(Config, measure, table=table)

if __name__ == "__main__":
    sys.exit(main())
