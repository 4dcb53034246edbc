"""A trace of some steps of a run, for XProf, TensorBoard and Perfetto."""

import contextlib

import jax

from charlm.operating import steps_of
from charlm.run import Run
from common.names import as_typed
from common.screen import Screen
from jaxtext.errors import one_line
from jaxtext.runs.storage import storage

NAME = "profile"  # of the directory


class Trace:
    """Traces the steps that ``--profile`` names, once. Its errors never end a run.

    Each process writes its own trace, which has what its devices and its host did.

    Args:
      run: The run, where it begins or goes on.
      display: Shows what becomes of it.
    """

    def __init__(self, run: Run, display: Screen):
        self._run, self._display = run, display
        self._steps = steps_of(run.config.profile) if run.config.profile else range(0)
        self._name = NAME
        if jax.process_count() > 1:
            # Two processes of one host would write a file of the same name.
            self._name += f"/process-{jax.process_index()}"
        self._opened = contextlib.ExitStack()
        self._is_on, self._first, self._done = False, 0, not self._steps
        if not self._done and run.progress.step + 1 > self._steps[0]:
            self._done = True
            display.say(
                f"note: --profile {run.config.profile} is passed over: the run goes on "
                f"after step {run.progress.step}; give a later START"
            )

    def is_due(self) -> bool:
        """Whether the trace is to begin before the next step."""
        return not (self._done or self._is_on) and self._next() in self._steps

    def is_over(self) -> bool:
        """Whether the last step that is to be traced has been given to the devices."""
        return self._is_on and self._next() > self._steps[-1]

    def begin(self) -> None:
        """Begins the trace. The devices should have done the steps before."""
        # Python's calls would be most of the trace, and slow the host down.
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0
        with self._run.spent.on("profiling"):
            try:
                folder = storage(self._run.workdir).folder(self._name)
                directory = self._opened.enter_context(folder)
                jax.profiler.start_trace(directory, profiler_options=options)
            except Exception as error:  # whatever the profiler of a device may raise
                self._failed(error)
            else:
                self._is_on, self._first = True, self._next()

    def end(self) -> None:
        """Writes the trace, if it has begun. The devices should have done its steps."""
        if not self._is_on:
            return
        self._is_on, self._done = False, True
        with self._run.spent.on("profiling"):
            try:
                with self._opened:
                    jax.profiler.stop_trace()
            except Exception as error:
                self._failed(error)
                return
        last = self._next() - 1
        self._display.say(
            f"traced steps {self._first} to {last}: {as_typed(self._where())} "
            "(docs/guides/profiling.md)"
        )

    def close(self) -> None:
        """Writes what there is of the trace, or says that no step of it came."""
        self.end()
        if not self._done:
            self._display.say(
                f"note: --profile {self._run.config.profile} is passed over: training "
                f"ended at step {self._run.progress.step}"
            )

    def _where(self):
        return self._run.workdir / self._name

    def _next(self):
        return self._run.progress.step + 1

    def _failed(self, error):
        self._done = True
        self._display.say(
            f"the trace could not be written to {self._where()} "
            f"({one_line(str(error))}); training goes on"
        )
