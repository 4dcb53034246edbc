"""The metrics of a run: JSON lines in its directory."""

import json
from pathlib import Path
from typing import Any

from jaxtext.buckets import place
from jaxtext.runs.storage import storage

Record = dict[str, Any]
_NAME = "metrics.jsonl"


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
        run = storage(workdir)
        self.path: Path = run.place / _NAME
        self.records: list[Record] = read_metrics(self.path)
        self._log = run.log(_NAME)
        self._unwritten = b""
        self.rewind(keep)

    def rewind(self, keep: int) -> None:
        """Drops all records but the first `keep`."""
        del self.records[keep:]
        self._write_all()

    def append(self, record: Record) -> None:
        """Adds a record. On a disk, it is in the file when this returns.

        In a bucket, it is there when the next checkpoint is, and mostly sooner.

        Raises:
          OSError: If it cannot be written. The next call to `append` or `flush` writes
            it too.
        """
        self.records.append(record)
        self._unwritten += _line(record)
        self._write()

    def flush(self) -> None:
        """Writes what was not written before, and returns when readers see it.

        Raises:
          OSError: If that fails.
        """
        self._write()
        self._log.flush()

    def _write(self):
        if not self._unwritten:
            return
        try:
            self._log.append(self._unwritten)
        except FileNotFoundError:  # somebody removed it
            self._write_all()
        self._unwritten = b""

    def _write_all(self):
        self._log.replace(b"".join(map(_line, self.records)))
        self._unwritten = b""


def read_metrics(path: Path | str) -> list[Record]:
    """Reads the records of a log, up to the first line that is not a record.

    Returns:
      The records; none if there is no such file.
    """
    records, path = [], place(path)
    data = storage(path.parent).read(path.name) or b""
    for line in data.decode("utf-8", errors="replace").split("\n"):
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
