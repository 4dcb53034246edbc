"""Text generation with a trained model.

`generate` continues prompts, and `Decoding` says how symbols are drawn and which.
`generate_documents` writes documents from their beginning to their end. `beam_search`
looks for the likeliest continuation, and `log_probabilities` says how likely one is.
`steps` is for programs that look at each symbol, or choose themselves.
"""

from jaxtext.generation import steps
from jaxtext.generation.beam import Beams, beam_search
from jaxtext.generation.decoding import Decoding
from jaxtext.generation.documents import Document, generate_documents
from jaxtext.generation.sampling import generate
from jaxtext.generation.scoring import log_probabilities

__all__ = [
    "Beams",
    "Decoding",
    "Document",
    "beam_search",
    "generate",
    "generate_documents",
    "log_probabilities",
    "steps",
]
