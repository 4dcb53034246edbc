"""What keeps a long run alive: its directory, its checkpoints and its processes.

`jaxtext.training` defines one step of training. This package surrounds the steps, so
that no work is lost when a process is killed, a disk is full or a host fails:

- `workdir`: the directory of a run. One process at a time may write to it.
- `checkpoint`: saves and restores the state of a run. A checkpoint is complete or
  absent, and a damaged one is detected.
- `log`: the metrics of a run, in one file that a resumed run continues.
- `interrupt`: turns signals such as Ctrl-C into a stop at the end of a step.
- `distributed`: joins the processes of a run that has several.
- `endings`: the ways in which a run can end, each with its exit status.
- `agreement`: lets all processes of a run decide the same.
- `supervise`: a parent process that reports why its child ended, for cases in which
  the child cannot.
- `watchdog`: says where a program hangs.

All of them write files with `jaxtext.files`, which explains how a file appears complete
or not at all.

The public names are those of the modules, such as
``jaxtext.runs.checkpoint.Checkpoints``. Each module is loaded on first use, so a
program that saves nothing never loads Orbax.

Example:
  >>> import tempfile
  >>> from jaxtext.runs import log, workdir
  >>> directory = tempfile.mkdtemp()
  >>> with workdir.claim(directory, identity={"cell": "lstm", "hidden": 256}):
  ...     metrics = log.MetricsLog(directory)
  ...     metrics.append({"step": 1, "loss": 4.2})
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
