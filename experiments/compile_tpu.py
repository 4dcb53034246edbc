"""Compile the training step for a TPU slice, on a machine that has no TPU.

    python experiments/compile_tpu.py --topology v5e:4x4
    python experiments/compile_tpu.py --cell gru --hidden 1024 --dtype bfloat16
    python experiments/compile_tpu.py --topology v6e:2x2 --preset enwik8

It needs the extra ``tpu``: pip install '.[experiments,tpu]'. The step is the one that
char_gen.py would take with the same flags on that slice, data parallel over all its
chips. The report says how much memory each chip needs, what the program contains, and a
lower bound on the time of a step: an upper bound on speed, not a measurement. Flags
about the text, the length of training and the directory have no effect, so you can use
the flags of a char_gen.py command as they are.

The report goes to standard error, and is printed as one JSON object if standard output
is not a terminal.

Exit status: 0 it fits; 2 bad input, or standard output cannot be written; 3 it does not
fit in the memory of a chip; 130 stopped by Ctrl-C.
"""

import os

# Before JAX is imported: libtpu, which has the compiler, is not to look for a TPU nor
# for the service that knows of it, nor to mind who else has it loaded, nor to leave
# megabytes of logs in /tmp/tpu_logs.
os.environ.update(
    ALLOW_MULTIPLE_LIBTPU_LOAD="1",
    JAX_PLATFORMS="cpu",
    TPU_LOG_DIR="disabled",
    TPU_SKIP_MDS_QUERY="1",
    TPU_ACCELERATOR_TYPE="v5litepod-4",
    TPU_WORKER_HOSTNAMES="localhost",
)

import jaxtext.needs_experiments  # noqa: F401 (first)

import importlib.metadata
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax

from charlm import config as char_config
from charlm import parse as char_flags
from charlm.config import TwoOrMore
from common.screen import Screen, print_result, screen
from common.script import script
from jaxtext.types import Device
from tpu_step.chips import find_slice
from tpu_step.program import DoesNotFitError, backends, compile_step
from tpu_step.report import bound, heading, report, shortage

DOES_NOT_FIT = 3


@dataclass(frozen=True)
class Config(char_config.Config):
    """The flags of ``char_gen.py``, and the slice."""

    topology: str = "v5e:4x4"
    """The slice: generation and extent in chips, such as v4:2x2x1, v5e:16x16, v6e:2x2.
    The batch is divided between its chips."""
    vocab_size: TwoOrMore = 65
    """Number of distinct symbols; tiny Shakespeare has 65."""


@script
def main(argv: Sequence[str] | None = None) -> int:
    """Compiles, reports, and returns the exit status."""
    config = char_flags.parse(argv, Config, __doc__)
    with screen() as display:
        result = compile_and_tell(config, display)
    print_result(result)
    return 0 if result["fits"] else DOES_NOT_FIT


def compile_and_tell(config: Config, display: Screen) -> dict[str, Any]:
    """Compiles the step, prints the report, and returns the result."""
    devices, chip = find_slice(config.topology)
    result = about(config, devices)
    display.say(heading(result))
    display.start("compiling", total=1, slow=True)
    try:
        program = compile_step(config, config.vocab_size, devices)
    except DoesNotFitError as error:
        display.stop()
        display.say(f"it does not fit: {shortage(error, chip)}", style="bold")
        short = {"needed": error.needed, "available": error.available}
        short |= {"short_of": error.memory, "compiler": str(error)}
        return result | {"fits": False} | short
    display.stop()
    limits = bound(program, chip, len(devices))
    characters = config.batch_size * max(config.seq_lens) / limits["step"]
    display.say(report(program, chip, len(devices), limits))
    display.say(f"  no more than {characters:,.0f} characters/s")
    found = program._asdict()
    sizes = ["arguments", "results", "aliased", "temporaries", "code", "peak"]
    found["bytes"] = {name: found.pop(name) for name in sizes}
    found["bytes"] |= {"together": program.memory, "chip": chip.memory}
    found |= {
        "flops_of_all_chips": program.flops * len(devices),
        "collectives": [c._asdict() for c in program.collectives],
        "bound_seconds": limits,
        "bound_characters_per_second": characters,
    }
    return result | {"fits": True} | found


def about(config: Config, devices: Sequence[Device]) -> dict[str, Any]:
    """What is compiled, for what, by which versions."""
    names = (
        "topology cell hidden layers dtype batch_size slices remat vocab_size "
        "data_parallel"
    )
    return {
        **{name: getattr(config, name) for name in names.split()},
        "seq_len": max(config.seq_lens),  # of several, what needs most
        "chips": len(devices),
        "device_kind": devices[0].device_kind,
        "backends": backends(config, config.vocab_size, devices),
        "jax": jax.__version__,
        "libtpu": importlib.metadata.version("libtpu"),
    }


if __name__ == "__main__":
    sys.exit(main())
