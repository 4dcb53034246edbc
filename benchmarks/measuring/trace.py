"""What JAX's profiler recorded, read from its file."""

import gzip
import json
from pathlib import Path
from typing import Any

TRACE = "*.trace.json.gz"  # what JAX calls the recording that is read


def events(folder: Path) -> list[dict[str, Any]]:
    """All events of the newest recording in a directory, at any depth."""
    path = max(folder.rglob(TRACE), key=lambda path: path.stat().st_mtime_ns)
    return json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]


def operations(folder: Path) -> list[tuple[str, float, float]]:
    """The operations that the device ran: name, start and duration in microseconds.

    If the directory has several recordings, the newest one is read.
    """
    recorded = events(folder)
    processes, threads = {}, {}
    for event in recorded:
        if event.get("name") == "process_name":
            processes[event["pid"]] = event["args"]["name"]
        elif event.get("name") == "thread_name":
            threads[event["pid"], event["tid"]] = event["args"]["name"]
    devices = {pid for pid, name in processes.items() if name.startswith("/device:")}

    def counts(event):
        if event.get("ph") != "X":
            return False
        if not devices:  # on a CPU, operations are among the threads of the host
            return "hlo_op" in event.get("args", {})
        # Other rows of a device repeat the same time by operation and by module.
        thread = threads.get((event["pid"], event["tid"]), "")
        return event["pid"] in devices and thread.startswith("Stream")

    return [(e["name"], e["ts"], e.get("dur", 0.0)) for e in recorded if counts(e)]
