"""A training step compiled for a TPU that need not exist, and its contents."""

import contextlib
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxtext as jt
from charlm.build import build_model, build_trainer
from charlm.config import Config
from charlm.identity import identity
from jaxtext.errors import InputError
from jaxtext.text.batches import Batch
from jaxtext.types import Device, Params


class DoesNotFitError(Exception):
    """The program needs more memory than there is.

    Attributes:
      needed: Bytes, ``None`` if the compiler's message is not understood.
      available: Bytes, likewise.
      memory: Which memory: HBM, or VMEM within the chip.
    """

    def __init__(self, message: str):
        self.needed, self.available, self.memory = _sizes(message)
        super().__init__(message.splitlines()[0])


class Collective(NamedTuple):
    """One exchange between the chips of a program.

    Attributes:
      kind: What the compiler calls it, such as ``all-reduce``.
      bytes: Size of its result on each chip.
      in_loop: Whether it is in a loop, and so may take place more than once.
    """

    kind: str
    bytes: int
    in_loop: bool


class Program(NamedTuple):
    """A compiled step. Bytes and operations are those of one chip.

    Attributes:
      parameters: How many the model has.
      flops: Operations of the matrix products, from the model.
      xla_flops: Operations as XLA counts them: a loop's body once, kernels not at all.
      arguments: Bytes of the state and the batch.
      results: Bytes of the state after the step, and its metrics.
      aliased: Bytes of the results that overwrite arguments.
      temporaries: Bytes of everything else that is in memory at once.
      code: Bytes of the program itself.
      peak: Bytes in use at once, as the compiler counts them: without gaps, and with
        memory within the chip.
      collectives: Exchanges between the chips.
      kernels: Names of the Pallas kernels, each as often as the program has it.
      compile_seconds: Time of tracing and compiling.
    """

    parameters: int
    flops: int
    xla_flops: float
    arguments: int
    results: int
    aliased: int
    temporaries: int
    code: int
    peak: int
    collectives: list[Collective]
    kernels: list[str]
    compile_seconds: float

    @property
    def memory(self) -> int:
        """Bytes that a chip's memory has to hold."""
        own = self.arguments + self.results - self.aliased
        return own + self.temporaries + self.code


def compile_step(config: Config, vocab_size: int, devices: Sequence[Device]) -> Program:
    """Compiles the step that ``char_gen.py`` would train with, without an array.

    Raises:
      InputError: If the batch does not divide between the devices, or the work depends
        on the text.
      DoesNotFitError: If it takes more memory than a chip has.
    """
    if config.frequent:
        raise InputError(
            "--frequent: how much a step computes depends on the text, which this "
            "script does not read; leave it out"
        )
    begin = time.monotonic()
    trainer = build_trainer(config, vocab_size, config.batch_size, devices)
    state = jax.eval_shape(trainer.create, jax.random.key(0))
    batch = _batch(config, vocab_size)
    with shortage_told():
        compiled: Any = trainer.parallel.lower(state, batch).compile()
    memory, text = compiled.memory_analysis(), compiled.as_text()
    symbols, predicted = batch.inputs.size, batch.targets.size
    flops = matrix_flops(state.params, symbols, predicted) // len(devices)
    return Program(
        sum(x.size for x in jax.tree.leaves(state.params)),
        flops,
        compiled.cost_analysis().get("flops", 0.0),
        memory.argument_size_in_bytes,
        memory.output_size_in_bytes,
        memory.alias_size_in_bytes,
        memory.temp_size_in_bytes,
        memory.generated_code_size_in_bytes,
        memory.peak_memory_in_bytes,
        collectives(text),
        kernels(text),
        time.monotonic() - begin,
    )


def backends(config: Config, vocab_size: int, devices: Sequence[Device]) -> list[str]:
    """Says which backend each layer uses on such devices, and why.

    Raises:
      InputError: If the backend that was asked for by name cannot run a layer.
    """
    model = build_model(identity(config, ""), vocab_size)
    cell, width = model.cell, model.input_size
    batch = max(1, config.batch_size // (len(devices) * config.slices))
    shape = batch, max(config.seq_lens)
    if width is None:
        xs = jax.ShapeDtypeStruct(shape, np.int32)
    else:
        xs = jax.ShapeDtypeStruct((*shape, width), model.dtype)
    return jt.explain_backend(
        cell,
        jax.eval_shape(lambda: cell.init(jax.random.key(0), width or vocab_size)),
        jax.eval_shape(lambda: cell.initial_state((batch,))),
        xs,
        resets=jax.ShapeDtypeStruct(shape, bool),
        backend=config.backend,
        target=jt.Target("tpu", devices[0].device_kind),
    )


@contextlib.contextmanager
def shortage_told() -> Iterator[None]:
    """Raises `DoesNotFitError` where the compiler runs out of the TPU's memory."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" in str(error):
            raise DoesNotFitError(str(error)) from error
        raise


def matrix_flops(params: Params, symbols: int, predicted: int) -> int:
    """Operations of the matrix products of a training step.

    ::

        6 (symbols · recurrent weights + predicted · output weights)

    Two a weight forward, and twice as many backward, for the gradients of the weights
    and of what they are multiplied by. Symbols are looked up in the first kernel, not
    multiplied by it, and an embedding is multiplied by it once (what drops parts of an
    embedding prevents that, and is left out). So is what `remat` computes again.
    """
    layers = params["recurrent"]
    recurrent = sum(x.size for x in jax.tree.leaves(layers) if x.ndim == 2)
    first = layers[min(layers, key=int)]["kernel"].size
    vectors = len(params["embedding"]) if "embedding" in params else 0
    tied = "output" not in params
    last = params["embedding"] if tied else params["output"]["kernel"]
    products = symbols * (recurrent - first) + min(symbols, vectors) * first
    return 6 * (products + predicted * last.size)


def collectives(text: str) -> list[Collective]:
    """The exchanges between chips in a program as XLA writes it."""
    kinds = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute"
    # Of one in two parts, start and done, the second has the result.
    exchange = re.compile(rf"= (.*?) ({kinds})(?:-done)?\(")
    bodies = set(re.findall(r"body=%?([\w.-]+)", text))
    found, computation = [], ""
    for line in text.splitlines():
        if line.endswith("{") and not line.startswith(" "):
            computation = line.split()[0].lstrip("%")
        elif match := exchange.search(line):
            shapes, kind = match.groups()
            found.append(Collective(kind, _bytes(shapes), computation in bodies))
    return found


def kernels(text: str) -> list[str]:
    """Names of the Pallas kernels in a program as XLA writes it."""
    calls = [
        x for x in text.splitlines() if 'custom_call_target="tpu_custom_call"' in x
    ]
    names = [re.search(r'op_name="([^"]*)"', call) for call in calls]
    return [_kernel_name(name[1]) if name else "unnamed" for name in names]


def _kernel_name(op_name):
    return op_name.removesuffix("/pallas_call").rpartition("/")[2]


def _bytes(shapes):
    """Size of an array, or of a tuple of them: ``(f32[2,3]{1,0}, pred[])`` is 25."""
    total = 0
    for dtype, sizes in re.findall(r"(\w+)\[([\d,]*)\]", shapes):
        digits = re.search(r"\d+", dtype)
        bits = int(digits[0]) if digits else 8
        total += int(np.prod([int(n) for n in sizes.split(",") if n])) * bits // 8
    return total


def _batch(config, vocab_size):
    """The shapes of a batch, the longest, as `jaxtext.text` makes it."""
    dtype = np.uint8 if vocab_size <= 256 else np.uint16
    shape = config.batch_size, max(config.seq_lens)
    predicted = shape if config.stride is None else (config.batch_size, 1)
    array: Any = jax.ShapeDtypeStruct
    return Batch(array(shape, dtype), array(predicted, dtype), array(shape, bool))


def _sizes(message):
    """What is needed and available in the compiler's words, of which memory."""
    size = r"([\d.]+[KMGT]?)"
    for pattern, order in (
        (rf"\({size}\) exceeds available (\w+) \({size}\)", (1, 3, 2)),
        (rf"Used {size} of {size} (\w+)", (1, 2, 3)),
        (
            rf"size={size}\) would exceed memory \(size={size}\).*?space=(\w+)",
            (1, 2, 3),
        ),
    ):
        match = re.search(pattern, message)
        if match:
            needed, available, memory = match.group(*order)
            return _in_bytes(needed), _in_bytes(available), memory.upper()
    return None, None, None


def _in_bytes(size):
    """``15.75G`` as a number of bytes."""
    unit = " KMGT".find(size[-1])
    return int(float(size[:-1]) * 2 ** (10 * unit)) if unit > 0 else int(size)
