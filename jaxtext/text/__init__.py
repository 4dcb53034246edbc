"""Text as a network reads it: from files on the disk to batches of ids.

Everything here uses NumPy and the standard library, and fsspec for buckets. JAX first
sees the text when a batch is passed to a training step.

- `load` reads a text (files, directories, globs, URLs, data sets) and returns a
  `Corpus`: its ids, its `Vocabulary` and its hash. Memory stays constant, whatever the
  size of the text, and the ids are cached.
- `Vocabulary` maps characters or bytes to ids and back.
- `FileArray` is an array that stays in its file; `Ids` is that or a NumPy array.
- `most_frequent` finds the symbols that a text has most often, for an adaptive softmax.
- `split` divides a text into training and validation, and `fit` finds batch sizes that
  a short text allows.
- `Streams` and `Windows` make the batches, of type `Batch`. A batch is a pure function
  of the seed and the step.

Example:
  >>> import tempfile
  >>> corpus = load("stdlib", limit=10_000, cache=tempfile.mkdtemp())
  >>> train, validation = split(corpus.ids, 0.1)
  >>> len(train), len(validation)
  (9000, 1000)
  >>> batch = Streams(train, batch_size=4, seq_len=32).batch(seed=0, k=0)
  >>> batch.inputs.shape, batch.targets.shape
  ((4, 32), (4, 32))

How a text is read, from the bottom up: `formats` opens and unpacks a file, and `reader`
joins files into blocks of text. `web` and `bucket` read files on servers, `remote`
copies them into the cache, and `download` fetches data sets. `folder` and `sources`
find the files. `entry` is the cached form of a text in the directory of `cache`, and
`corpus` puts these together. `encoded` encodes a text in the vocabulary of a trained
model.
"""

from jaxtext.text.batches import Batch, Streams, Windows, fit, split
from jaxtext.text.corpus import Corpus, load
from jaxtext.text.division import draw_documents, split_documents
from jaxtext.text.documents import Documents
from jaxtext.text.file_array import FileArray, Ids
from jaxtext.text.frequent import most_frequent
from jaxtext.text.membership import isin
from jaxtext.text.order import Shuffled
from jaxtext.text.padded import pad_documents
from jaxtext.text.vocabulary import Vocabulary

__all__ = [
    "Batch",
    "Corpus",
    "Documents",
    "FileArray",
    "Ids",
    "Shuffled",
    "Streams",
    "Vocabulary",
    "Windows",
    "draw_documents",
    "fit",
    "isin",
    "load",
    "most_frequent",
    "pad_documents",
    "split",
    "split_documents",
]
