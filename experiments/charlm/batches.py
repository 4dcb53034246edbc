"""The batches of a run, smaller ones for a short text, and the devices for them."""

from typing import Any, NamedTuple

import jax

import jaxtext as jt
from charlm.config import Config
from jaxtext.errors import InputError
from jaxtext.types import Device


class Fitted(NamedTuple):
    """The batch of a run whose text is too short for the one asked for.

    It was fitted to the devices that the run began on, and does not change on others.
    """

    batch_size: int
    seq_len: Any  # as configured: a number, or several


def fit(config: Config, characters: int) -> Fitted | None:
    """Fits a batch to a text that is too short for the one asked for.

    Args:
      config: The configuration.
      characters: How long the text is.

    Returns:
      The batch. Its streams are the number of devices times a power of two, so that
      they also divide between other numbers of devices. ``None`` if the text is long
      enough.

    Raises:
      InputError: If the text is too short for any, or the batch asked for does not
        divide between the devices.
    """
    if config.stride is not None:
        return None
    unit = jax.device_count() * config.slices
    asked: Any = config.seq_len  # either kind, of which `fit` returns the same
    size, length = jt.text.fit(characters, config.batch_size, asked, unit)
    if (size, length) == (config.batch_size, config.seq_len):
        return None
    if size < config.batch_size:
        size = unit << (size // unit).bit_length() - 1
    return Fitted(size, length)


def build_batches(
    config: Config,
    ids: jt.text.Ids,
    fitted: Fitted | None = None,
    end: int | None = None,
) -> jt.text.Streams | jt.text.Windows:
    """Builds the batches of a configuration, or those fitted to a short text.

    Args:
      config: The configuration.
      ids: What to train on.
      fitted: What `fit` returned when the run began.
      end: The symbol that ends documents, if the text is of documents.

    Raises:
      InputError: If the text is too short for them.
    """
    if config.stride is not None:
        assert isinstance(config.seq_len, int)  # or it would have been refused
        return jt.text.Windows(ids, config.batch_size, config.seq_len, config.stride)
    size, length = fitted or (config.batch_size, config.seq_len)
    text: Any = ids
    if end is not None and config.document_order == "shuffled":
        text = jt.text.Shuffled(jt.text.Documents.of(ids, end))
    return jt.text.Streams(text, size, length, config.reset_probability)


def dividing_devices(batch_size: int, slices: int) -> list[Device]:
    """Chooses as many devices as a batch divides between, as many in each process.

    Args:
      batch_size: Rows of a batch.
      slices: Into how many slices each device's share is cut.

    Raises:
      InputError: If there are too many processes for it.
    """
    processes = range(jax.process_count())
    for each in range(jax.local_device_count(), 0, -1):
        if batch_size % (each * len(processes) * slices) == 0:
            return [d for k in processes for d in jax.local_devices(k)[:each]]
    raise InputError(
        f"--num-processes: expected processes that the run's {batch_size} streams, "
        f"{slices} slices a device, divide between, got {len(processes)}; go on with "
        "fewer"
    )
