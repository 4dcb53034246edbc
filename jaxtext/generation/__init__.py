"""Text generation with a trained model.

`generate` continues prompts, symbol by symbol; `Decoding` says which symbols.
"""

from jaxtext.generation.decoding import Decoding
from jaxtext.generation.sampling import generate

__all__ = ["Decoding", "generate"]
