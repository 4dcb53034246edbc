"""Recurrent networks over text in JAX."""
