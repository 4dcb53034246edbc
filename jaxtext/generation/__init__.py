"""Text generation with a trained model.

`generate` continues prompts, symbol by symbol.
"""

from jaxtext.generation.sampling import generate

__all__ = ["generate"]
