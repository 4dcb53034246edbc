"""The device that a program is for, which need not be one that is at hand."""

from typing import NamedTuple

import jax


class Target(NamedTuple):
    """A kind of device.

    Attributes:
      platform: ``"cpu"``, ``"gpu"`` or ``"tpu"``.
      kind: As its maker calls it, such as ``"TPU v5 lite"``.
      cores: How many cores work as one device; two on some TPUs.
    """

    platform: str
    kind: str
    cores: int = 1


def target() -> Target:
    """The device that what is being traced will run on.

    That of the mesh, where there is one (within ``jax.pmap``, ``jax.shard_map`` and
    ``jax.set_mesh``), so that a program can be made for a machine that is elsewhere;
    else JAX's default device.

    Example:
      >>> target().platform
      'cpu'
    """
    device = jax.sharding.get_abstract_mesh().abstract_device
    if device is None:
        device = jax.config.jax_default_device
    if device is None or isinstance(device, str):
        device = jax.local_devices(backend=device)[0]
    platform = {"cuda": "gpu", "rocm": "gpu"}.get(device.platform, device.platform)
    return Target(platform, device.device_kind, getattr(device, "num_cores", None) or 1)
