"""The metrics of a run: JSON lines in its directory."""

import json
from pathlib import Path
from typing import Any

from jaxtext.files import write_durably

Record = dict[str, Any]


class MetricsLog:
    """Appends records to ``metrics.jsonl``, one JSON object a line, each with a step.

    A run that continues from a checkpoint repeats the steps after it. So opening the
    log keeps the records that it had when the checkpoint was saved, and drops the
    rest, including an incomplete last line left by a killed process.

    Args:
      workdir: The run's directory.
      keep: How many records to keep.

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
        """Drops all records but the first `keep`."""
        del self.records[keep:]
        self._write_all()

    def append(self, record: Record) -> None:
        """Adds a record, and returns when it is in the file.

        Raises:
          OSError: If it cannot be written. The next call to `append` or `flush` writes
            it too.
        """
        self.records.append(record)
        self._unwritten += _line(record)
        self.flush()

    def flush(self) -> None:
        """Writes the records that could not be written before.

        Raises:
          OSError: If they still cannot be written.
        """
        if not self._unwritten:
            return
        try:
            with self.path.open("r+b") as file:
                file.seek(self._size)
                file.truncate()  # a full disk may have left an incomplete line
                file.write(self._unwritten)
        except FileNotFoundError:  # somebody removed it
            self._write_all()
            return
        self._size += len(self._unwritten)
        self._unwritten = b""

    def _write_all(self):
        data = b"".join(map(_line, self.records))
        write_durably(self.path, data)
        self._size = len(data)
        self._unwritten = b""


def read_metrics(path: Path | str) -> list[Record]:
    """Reads the records of a log, up to the first line that is not a record.

    Returns:
      The records; none if there is no such file.
    """
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


def _line(record: Record) -> bytes:
    return (json.dumps(record) + "\n").encode()
