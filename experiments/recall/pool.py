"""Many runs at once, each in a process of its own with one core."""

import concurrent.futures
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

from common.programs import keep_programs
from common.screen import Screen
from jaxtext.files import write_durably
from jaxtext.versions import with_flags
from recall.run import Run, make


def make_all(
    missing: Sequence[Run],
    count: int,
    out: Path,
    jobs: int,
    cache: str | None,
    display: Screen,
) -> None:
    """Makes runs side by side, and keeps the result of each as it ends.

    Args:
      missing: The runs.
      count: How many there are together with those that are done.
      out: Where they are kept.
      jobs: How many at once.
      cache: Where compiled programs are kept, as for `keep_programs`.
      display: Shows how many are done.

    Raises:
      BrokenProcessPool: If a process was lost.
    """
    if not missing:
        return
    done = count - len(missing)
    display.start("runs", total=count, done=done)
    pool = concurrent.futures.ProcessPoolExecutor(
        min(jobs, len(missing)),
        multiprocessing.get_context("spawn"),  # JAX's threads do not survive a fork
        _begin_worker,
        (cache,),
    )
    try:
        # Workers begin here, and inherit it: this process alone hears Ctrl-C, and what
        # comes meanwhile, afterwards.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            under_way = {pool.submit(make, run, out): run.name for run in missing}
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        while under_way:
            # Not for ever, as a Ctrl-C that reached another thread wakes nobody.
            ended, _ = concurrent.futures.wait(under_way, 1, "FIRST_COMPLETED")
            for future in ended:
                line, name = future.result(), under_way.pop(future)
                text = json.dumps(line, indent=1, allow_nan=False) + "\n"
                write_durably(out / f"{name}.json", text.encode())
                done += 1
                display.advance(done)
                display.say(f"{name}: {line['measure']} {line['score']}")
    except BaseException:
        for child in multiprocessing.active_children():
            child.terminate()  # where its training is has been kept
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_worker(cache):
    """Ends with the process that began it; has one core."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow():
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    # Products of this size gain nothing from two. Read when JAX first computes.
    os.environ["XLA_FLAGS"] = with_flags("--xla_cpu_multi_thread_eigen=false")
    keep_programs(cache)
