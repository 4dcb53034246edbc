"""Text generation with a trained model.

`generate` continues prompts, and `Decoding` says how symbols are drawn and which.
`steps` is for programs that look at each symbol, or choose themselves.
"""

from jaxtext.generation import steps
from jaxtext.generation.decoding import Decoding
from jaxtext.generation.sampling import generate

__all__ = ["Decoding", "generate", "steps"]
