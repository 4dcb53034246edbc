"""What a run has measured so far: JSON lines in its directory."""

import json
from pathlib import Path
from typing import Any

from jaxtext.runs.files import write_durably

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

    def __init__(self, workdir: Path | str, keep: int):
        self.path: Path = Path(workdir) / "metrics.jsonl"
        self.records: list[Record] = read_metrics(self.path)
        self.rewind(keep)

    def rewind(self, keep: int) -> None:
        """Drops all but the first so many records."""
        del self.records[keep:]
        self._write_all()

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
        try:
            with self.path.open("r+b") as file:
                file.seek(self._size)
                file.truncate()  # of half a line, which a full disk left
                file.write(self._unwritten)
        except FileNotFoundError:  # somebody removed it
            self._write_all()
            return
        self._size += len(self._unwritten)
        self._unwritten = b""

    def _write_all(self):
        whole = b"".join(map(_line, self.records))
        write_durably(self.path, whole)
        self._size = len(whole)
        self._unwritten = b""


def _line(record: Record) -> bytes:
    return (json.dumps(record) + "\n").encode()


def read_metrics(path: Path | str) -> list[Record]:
    """Reads the records of a log, up to the first line that is none."""
    records, path = [], Path(path)
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
