"""TPU slices by name, and the capabilities of each generation of chip."""

import importlib.util
from typing import NamedTuple

import jax
from jax.experimental import topologies

from jaxtext.errors import InputError
from jaxtext.types import Device

GIB = 2**30


class Chip(NamedTuple):
    """The published figures of a chip.

    Attributes:
      name: Its generation.
      memory: Bytes of high-bandwidth memory (HBM).
      memory_bandwidth: Bytes a second to and from it.
      flops: Operations a second on bfloat16. JAX's default precision uses these for
        products of float32 too.
      link_bandwidth: Bytes a second that it sends to other chips over all its links
        together (ICI). As many arrive at the same time.
      pod: Chips in the largest slice.
      example: The name of a small slice.
    """

    name: str
    memory: int
    memory_bandwidth: float
    flops: float
    link_bandwidth: float
    pod: int
    example: str


# https://docs.cloud.google.com/tpu/docs/ v4, v5e, v5p, v6e, as of November 2026; what
# they give for the links is both directions together, of which half is taken. Links
# of v4: Jouppi et al., "TPU v4: an optically reconfigurable supercomputer for machine
# learning with hardware support for embeddings", 2023, 6 of 50 GB/s.
CHIPS = {
    "TPU v4": Chip("v4", 32 * GIB, 1.2e12, 275e12, 3e11, 4096, "v4:2x2x1"),
    "TPU v5 lite": Chip("v5e", 16 * GIB, 8.19e11, 197e12, 2e11, 256, "v5e:4x4"),
    "TPU v5": Chip("v5p", 95 * GIB, 2.765e12, 459e12, 6e11, 8960, "v5p:2x2x1"),
    "TPU v6 lite": Chip("v6e", 32 * GIB, 1.638e12, 918e12, 4e11, 256, "v6e:2x2"),
}


def find_slice(topology: str) -> tuple[list[Device], Chip]:
    """Finds the devices of a slice, one for each chip. They need not exist.

    Args:
      topology: Generation and extent, such as ``v5e:4x4``.

    Raises:
      InputError: If there is no such slice, or no compiler for it.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise InputError(
            "to compile for a TPU takes libtpu, which is not installed; run: pip "
            "install 'jaxtext[tpu]'"
        )
    options = {}
    generation, _, extent = topology.partition(":")
    if generation == "v4":
        options["chip_config_name"] = "megacore"  # both cores are one device
    if set(extent.split("x")) == {"1"}:
        options["chips_per_host_bounds"] = [1, 1, 1]  # a quarter of the usual host
    try:
        devices = topologies.get_topology_desc(topology, "tpu", **options).devices
        chip = CHIPS[devices[0].device_kind]
    except (jax.errors.JaxRuntimeError, KeyError) as error:
        known = ", ".join(chip.example for chip in CHIPS.values())
        raise InputError(
            f"--topology: there is no slice {topology!r}; expected one such as "
            f"{known}, v5e:16x16 ({_reason(error)})"
        ) from error
    if len(devices) > chip.pod:
        raise InputError(
            f"--topology: {topology} would be {len(devices)} chips, and the largest "
            f"{chip.name} slice has {chip.pod}"
        )
    return devices, chip


def _reason(error):
    if isinstance(error, KeyError):
        return f"{error.args[0]} is not in the table of chips"
    return str(error).splitlines()[0].removeprefix("INVALID_ARGUMENT: ")
