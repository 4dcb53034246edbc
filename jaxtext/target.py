"""The device that a program will run on, which need not be in this machine."""

import math

import jax

from jaxtext.types import Target

_DEFAULT = "jax_default_device"


def target() -> Target:
    """The device that the function being traced will run on.

    That of the mesh, where there is one (within ``jax.pmap``, ``jax.shard_map`` and
    ``jax.set_mesh``), so that a program can be made for a machine that is elsewhere;
    else JAX's default device. It cannot know where arguments are. If they are on
    another device, set ``jax.default_device``.

    Example:
      >>> target().platform
      'cpu'
    """
    mesh = jax.sharding.get_abstract_mesh()
    device, devices = mesh.abstract_device, 1
    if device is None:
        device = getattr(jax.config, _DEFAULT)  # pyright knows no options of JAX
    if device is None or isinstance(device, str):
        # Without a mesh the shardings of arguments decide, which are not known yet.
        devices = len(jax.devices(device))
        device = jax.local_devices(backend=device)[0]
    if not mesh.empty:
        shares = mesh.shape.items()
        devices = math.prod(n for axis, n in shares if axis not in mesh.manual_axes)
    kind = device.device_kind
    if kind.startswith("TPU"):
        return Target("tpu", kind, devices)
    return Target("cpu" if kind == "cpu" else "gpu", kind, devices)
