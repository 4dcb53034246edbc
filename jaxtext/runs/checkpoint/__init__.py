"""Checkpoints of a run: what they contain, how they are saved, and how they are read.

A run keeps two series under ``checkpoints/`` in its directory:

- ``latest``: the whole training state, from which training continues exactly.
- ``best``: the parameters with the best validation loss so far.

Every checkpoint also contains `about`: plain JSON. With what `describe` returns in it,
`restore_model` needs nothing else to use the checkpoint. Arrays are saved and restored
with Orbax.

**Saving.** Orbax writes to ``saving-STEP``. When the disk has all of it, a manifest
with the SHA-256 of every file is added, and the directory is renamed to ``STEP``. So a
numbered directory is always a complete checkpoint, whenever the process was killed. If
it is damaged later, the manifest detects it. In a bucket, which has no directories to
rename, the manifest is the object that is written last.

**Restoring.** The manifest is checked first. A run that finds a damaged checkpoint
moves it to ``checkpoints/damaged`` and uses the one before.

- `Checkpoints` is for the run itself, which alone saves: `Checkpoints.save_latest`,
  `Checkpoints.save_best`, `Checkpoints.restore_latest`.
- `restore_model` is for other programs, which change nothing: it returns the model,
  its parameters and its vocabulary. `read_about` and `restore_params` are its parts.

Example:
  >>> import tempfile, jax, optax, jaxtext as jt
  >>> model, optimizer = jt.LanguageModel(jt.gru(8), vocab_size=5), optax.sgd(0.1)
  >>> vocabulary = jt.text.Vocabulary("chars", "abcde")
  >>> state = jt.training.create_state(model, optimizer, jax.random.key(0), 2)
  >>> workdir = tempfile.mkdtemp()
  >>> checkpoints = Checkpoints(workdir)
  >>> checkpoints.save_latest(state, describe(model, vocabulary) | {"note": "new"})
  >>> checkpoints.finish()
  >>> found = restore_model(workdir)
  >>> found.model == model, found.vocabulary == vocabulary, found.about["note"]
  (True, True, 'new')
  >>> state = checkpoints.restore_latest(like=state).arrays  # to go on training

The modules, from the bottom up: `errors`, `by_path` and `shapes` are helpers. `arrays`
reads and writes one checkpoint with Orbax, and `contents` knows how a training state is
stored. `writer`, `reader` and `models` have the names above. Where the files are, and
what makes them a checkpoint, is in `jaxtext.runs.storage`.
"""

from jaxtext.runs.checkpoint.contents import Checkpoint
from jaxtext.runs.checkpoint.models import Restored, describe, restore_model
from jaxtext.runs.checkpoint.reader import Which, read_about, restore_params
from jaxtext.runs.checkpoint.writer import Checkpoints
from jaxtext.runs.storage import SeriesName as Series

__all__ = [
    "Checkpoint",
    "Checkpoints",
    "Restored",
    "Series",
    "Which",
    "describe",
    "read_about",
    "restore_model",
    "restore_params",
]
