"""What a run has measured so far: JSON lines in its directory, and their picture."""

import io
import json
import math
from pathlib import Path
from typing import Any

from jaxtext.training.files import write_durably

Record = dict[str, Any]


class MetricsLog:
    """Appends records to ``metrics.jsonl``, one JSON object a line, each with a step.

    A run that goes on from a checkpoint takes steps again: opening the log keeps as
    many records as there were when that was saved, and drops what comes after them,
    half a last line of a killed process included.

    Example:
      >>> import tempfile
      >>> directory = Path(tempfile.mkdtemp())
      >>> log = MetricsLog(directory, keep=0)
      >>> log.append({"step": 10, "loss": 2.5})
      >>> log.append({"step": 20, "loss": 2.0})
      >>> MetricsLog(directory, keep=1).records
      [{'step': 10, 'loss': 2.5}]
    """

    def __init__(self, workdir: Path, keep: int):
        self.path = workdir / "metrics.jsonl"
        self.records = read_metrics(self.path)
        self.rewind(keep)

    def rewind(self, keep: int) -> None:
        """Drops all but the first so many records."""
        del self.records[keep:]
        whole = b"".join(map(_line, self.records))
        write_durably(self.path, whole)
        self._size = len(whole)
        self._unwritten = b""

    def append(self, record: Record) -> None:
        """Adds a record; it is in the file when this returns.

        Raises:
          OSError: If it cannot be written. It is kept, and written with the next one.
        """
        self.records.append(record)
        self._unwritten += _line(record)
        self.flush()

    def flush(self) -> None:
        """Tries again to write what could not be written.

        Raises:
          OSError: If it cannot be written now either.
        """
        if not self._unwritten:
            return
        with self.path.open("r+b") as file:
            file.seek(self._size)
            file.truncate()  # of half a line, which a full disk left
            file.write(self._unwritten)
        self._size += len(self._unwritten)
        self._unwritten = b""


def _line(record: Record) -> bytes:
    return (json.dumps(record) + "\n").encode()


def read_metrics(path: Path) -> list[Record]:
    """Reads the records of a log, up to the first line that is none."""
    records = []
    if path.exists():
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    record = json.loads(line)
                except ValueError:
                    break
                if not isinstance(record, dict) or "step" not in record:
                    break
                records.append(record)
    return records


def draw_curve(records: list[Record], path: Path, title: str) -> None:
    """Draws training and validation loss against the step as a PNG.

    Args:
      records: Those of a `MetricsLog`: ``loss`` and ``val_nats_per_char`` are drawn.
      path: Where the PNG goes.
      title: What stands above it.
    """
    # Imported late: it takes a second, and most uses of the library never draw.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    axes = figure.subplots()
    curves = [
        ("loss", "training", {"color": "#9db4c8", "linewidth": 1}),
        (
            "val_nats_per_char",
            "validation",
            {"color": "#c23b22", "linewidth": 1.8, "marker": "o", "markersize": 3.5},
        ),
    ]
    for field, label, style in curves:
        points = [(r["step"], r[field]) for r in records if r.get(field) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, **style)
    axes.set(xlabel="step", ylabel="nats per character")
    axes.set_title(title, parse_math=False)  # a directory's name may hold a $
    axes.grid(alpha=0.25)
    if axes.lines:
        axes.legend()
        bits = axes.secondary_yaxis("right", functions=(_to_bits, _to_nats))
        bits.set_ylabel("bits per character")
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_durably(path, picture.getvalue())


def _to_bits(nats: Any) -> Any:
    return nats / math.log(2)


def _to_nats(bits: Any) -> Any:
    return bits * math.log(2)
