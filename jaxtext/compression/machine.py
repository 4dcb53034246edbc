"""Whether this machine computes the same probabilities as another one did."""

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np

import jaxtext
from jaxtext.compression.reader import Learning, Reader
from jaxtext.errors import InputError
from jaxtext.model import LanguageModel
from jaxtext.text import Vocabulary
from jaxtext.types import Params
from jaxtext.versions import exact

# Beside jaxtext: those that compute probabilities, and the one that rounds them.
_PACKAGES = "jax", "jaxlib", "flax", "constriction"
# Other processors, or another number of them, may compute the same. `probe` finds out.
_TOLD = "processor", "cores"
_PROBED = 32  # symbols


def here() -> dict[str, str]:
    """The versions and the device that compute in this process."""
    device = jax.devices()[0]
    return {
        "jaxtext": jaxtext.__version__,
        **{name: exact(name) or "unknown" for name in _PACKAGES},
        "backend": device.platform,
        "device": device.device_kind,
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
    }


def check_made_with(made_with: Mapping[str, str]) -> None:
    """Checks that a file was made by these versions on such a device.

    Args:
      made_with: What `here` returned when it was made.

    Raises:
      InputError: If it was not.
    """
    found = here()
    for name, wanted in made_with.items():
        if name not in _TOLD and found.get(name) != wanted:
            raise InputError(
                f"cannot decompress: expected {name} {wanted}, with which the file was "
                f"made, got {found.get(name)}; it would round otherwise. Decompress it "
                "where it was made"
            )


def probe(
    model: LanguageModel, params: Params, streams: int, learning: Learning | None
) -> str:
    """SHA-256 of the probabilities of a fixed text, read as a file would be.

    A difference in the order of a sum, as between processors with other vectors, shows
    in the last bits of most of them.

    Args:
      model: The model.
      params: Its parameters.
      streams: How many texts are read side by side.
      learning: As for `Reader`. At least two updates are probed.
    """
    reader, digest = Reader(model, params, streams, learning), hashlib.sha256()
    updates = 0 if learning is None else 2 * learning.rule.segment
    rows = np.arange(streams)
    for step in range(_PROBED + updates):
        reader.read((7919 * step + 104_729 * rows) % model.vocab_size)
        digest.update(reader.probabilities().tobytes())
    return digest.hexdigest()


def check_probe(wanted: str, found: str, made_with: Mapping[str, str]) -> None:
    """Raises `InputError` if two probes differ.

    Args:
      wanted: That of the machine that made the file.
      found: That of this one.
      made_with: Which machine that was.
    """
    if wanted != found:
        told, own = (
            f"{x.get('processor')}, {x.get('cores')} cores" for x in (made_with, here())
        )
        raise InputError(
            "cannot decompress: this machine computes other probabilities than the one "
            f"that made the file ({told}; this one is {own}). Decompress it where it "
            "was made, with the same XLA_FLAGS"
        )


def fingerprint(params: Params, vocabulary: Vocabulary) -> str:
    """SHA-256 of parameters, by name and value, and of a vocabulary."""
    digest = hashlib.sha256(json.dumps(vocabulary.to_json()).encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # where Linux has it
    if cpuinfo.exists():
        for line in cpuinfo.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
