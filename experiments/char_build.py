"""Hands on `charlm.build.restore` to programs that import it from here."""

from charlm.build import restore

__all__ = ["restore"]
