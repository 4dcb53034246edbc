"""Names and colours of cells in pictures, and saving a picture."""

import io
import warnings
from pathlib import Path

from matplotlib.figure import Figure

from jaxtext.files import write_durably

COLOURS = {
    "rnn": "#8a8f98",
    "lstm": "#c23b22",
    "lstm-chrono": "#e0a030",
    "gru": "#2f6f9f",
}
NAMES = {"rnn": "RNN", "lstm": "LSTM", "lstm-chrono": "LSTM, chrono", "gru": "GRU"}


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as a PNG."""
    write_durably(path, png(figure))


def png(figure: Figure) -> bytes:
    """A figure as a PNG."""
    picture = io.BytesIO()
    with warnings.catch_warnings():
        # A name may hold what the font has not got; it draws a box there, and warns.
        warnings.filterwarnings("ignore", "Glyph")
        figure.savefig(picture, format="png")
    return picture.getvalue()
