"""The device that a program is for, which need not be one that is at hand."""

import jax

from jaxtext.types import Target

_DEFAULT = "jax_default_device"


def target() -> Target:
    """The device that what is being traced will run on.

    That of the mesh, where there is one (within ``jax.pmap``, ``jax.shard_map`` and
    ``jax.set_mesh``), so that a program can be made for a machine that is elsewhere;
    else JAX's default device.

    Example:
      >>> target()
      Target(platform='cpu', kind='cpu')
    """
    device = jax.sharding.get_abstract_mesh().abstract_device
    if device is None:
        device = getattr(jax.config, _DEFAULT)  # pyright knows no options of JAX
    if device is None or isinstance(device, str):
        device = jax.local_devices(backend=device)[0]
    kind = device.device_kind
    if kind.startswith("TPU"):
        return Target("tpu", kind)
    return Target("cpu" if kind == "cpu" else "gpu", kind)
