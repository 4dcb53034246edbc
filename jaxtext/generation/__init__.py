"""Generation: text out of a trained model."""

from jaxtext.generation.sampling import generate

__all__ = ["generate"]
