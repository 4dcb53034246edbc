"""Text as the network sees it: from words on the command line to batches of ids.

Everything here is NumPy and the standard library; JAX first meets the text when a
batch is handed to a training step.
"""

from jaxtext.text.batches import Batch, Streams, Windows, fit, split
from jaxtext.text.corpus import Corpus, load
from jaxtext.text.documents import pad_documents
from jaxtext.text.file_array import FileArray, Ids
from jaxtext.text.vocabulary import Vocabulary

__all__ = [
    "Batch",
    "Corpus",
    "FileArray",
    "Ids",
    "Streams",
    "Vocabulary",
    "Windows",
    "fit",
    "load",
    "pad_documents",
    "split",
]
