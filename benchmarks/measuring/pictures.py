"""Saving a picture."""

from pathlib import Path

from matplotlib.figure import Figure


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as a PNG, and makes its directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")
