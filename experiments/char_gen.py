"""Train a recurrent network on text, character by character, and let it write.

    python experiments/char_gen.py --minutes 3
    python experiments/char_gen.py --cell gru --corpus my.txt --steps 10000
    python experiments/char_gen.py --preset tutorial --epochs 2

The same command again goes on where the run stopped, or prints the result again if it
is finished. Ctrl-C saves and stops. The run's directory holds the configuration
(``config.json``), metrics (``metrics.jsonl``), loss curve (``curve.png``), checkpoints
and, when it is finished, the line that was printed (``result.json``).

Exit status: 0 finished; 2 bad input, or a loss that is not finite; 128 + n stopped by
signal n with everything saved (130 is Ctrl-C).
"""

import time

STARTED = time.monotonic()  # before the imports, which the time budget includes

import json
import math
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from char_config import Config, parse
from char_run import Run, open_run, summary
from char_samples import print_samples
from watch import Screen, open_sinks, screen

from jaxtext.errors import InputError
from jaxtext.training import checkpoint, evaluate
from jaxtext.training.interrupt import Request, requests_to_stop
from jaxtext.training.log import MetricsLog, draw_curve
from jaxtext.training.loop import run as run_steps
from jaxtext.training.workdir import write_json

LOG_EVERY = 10


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the experiment and returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        config = parse(argv)
        with screen() as display:
            return train(config, display, argv)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was lost that was saved", file=sys.stderr)
        return 130


def train(config: Config, display: Screen, argv: Sequence[str]) -> int:
    """Opens the run, takes it to its end or to a signal, and reports."""
    with open_run(config, display, STARTED) as run:
        if run.result is None:
            with requests_to_stop() as request:
                take_steps(run, display, request)
            if request.signal is not None:
                display.say(
                    f"stopped by signal {request.signal} at step {run.step}, saved in "
                    f"{run.workdir}; the same command goes on from there"
                )
                return 128 + request.signal
            print_samples(run, display)
            run.result = summary(run)
            write_json(run.workdir / "result.json", run.result)
        else:
            display.say("this run is finished; here is its result again")
        display.stop()
        say_what_next(run, display, argv)
    print(json.dumps(run.result), flush=True)
    return 0


def take_steps(run: Run, display: Screen, request: Request) -> None:
    """Trains until the plan, the deadline or a signal says stop."""
    config = run.config
    metrics_log = MetricsLog(run.workdir, run.step)
    sinks = open_sinks(run.workdir, config.tensorboard, config.wandb)
    eval_every = config.eval_every or -(-run.steps // 8)
    sample_every = eval_every if config.sample_every is None else config.sample_every
    window = []
    last_saved = mark = time.monotonic()

    def record(**values):
        metrics_log.append(values)
        for sink in sinks:
            sink(values)

    display.start(f"training {config.cell}", run.steps, run.step)
    for progress in run_steps(run.parallel, run.state, run.batch, run.step, run.steps):
        run.step, run.state = progress.step, progress.state
        run.training_seconds += time.monotonic() - mark
        speed = run.chars_per_second()
        for step, metrics in progress.metrics:
            run.require_finite(step, metrics)
            window.append(metrics.loss)
            if step % LOG_EVERY == 0:
                loss = sum(window) / len(window)
                window.clear()
                norm = metrics.gradient_norm
                record(step=step, loss=loss, gradient_norm=norm, chars_per_second=speed)
                note = f"loss {loss:.3f}  {speed:,.0f} chars/s"
                display.advance(run.step, note=note)

        last = run.step == run.steps or run.out_of_time()
        stop = last or request.signal is not None
        if len(run.validation) and (run.step % eval_every == 0 or last):
            part = run.validation[: config.eval_characters]
            val = evaluate(run.model, run.state.params, part)
            if not math.isfinite(val):
                run.give_up(run.step, f"validation {val}")
            record(step=run.step, val_nats_per_char=val)
            display.say(
                f"step {run.step}/{run.steps}: validation {val:.4f} nats per "
                f"character, {speed:,.0f} chars/s, {run.seconds():.0f} s"
            )
            if run.is_best(val):
                run.best = {"step": run.step, "val_nats_per_char": val}
                params = run.parallel.collect(run.state).params
                checkpoint.save_best(run.workdir, run.step, params, run.about())
        if sample_every and run.step % sample_every == 0 and not stop:
            print_samples(run, display)
        if stop or time.monotonic() - last_saved > 60 * config.save_minutes:
            run.save()
            last_saved = time.monotonic()
        if stop:
            break
        mark = time.monotonic()
    draw_curve(metrics_log.records, run.workdir / "curve.png", run.workdir.name)
    run.records = metrics_log.records


def say_what_next(run: Run, display: Screen, argv: Sequence[str]) -> None:
    """Prints where everything is and what can be typed next."""
    folder = Path(__file__).parent

    def command(script, *words):
        return " ".join(map(shlex.quote, [_typed(sys.executable), script, *words]))

    def again(*changes):
        # Of a flag that is given twice, the last one counts.
        return command(_typed(__file__), *argv, *changes)

    sample = command(_typed(folder / "sample.py"), "--workdir", str(run.workdir))
    cell = "gru" if run.config.cell == "lstm" else "lstm"
    minutes = run.config.minutes
    more = ("--minutes", 2 * minutes) if minutes else ("--steps", 2 * run.step)
    elsewhere = () if run.config.workdir is None else ("--workdir", "runs/another")
    display.say(
        f"the run is in {run.workdir}\n"
        f"  loss curve   {run.workdir / 'curve.png'}\n"
        f"  checkpoints  {run.workdir / 'checkpoints'}\n"
        "what to type next:\n"
        f"  let it write   {sample}\n"
        f"  train on       {again(*map(str, more))}\n"
        f"  swap the cell  {again('--cell', cell, *elsewhere)}\n"
        f"  use your text  {again('--corpus', 'FILE', *elsewhere)}",
        style="dim",
    )


def _typed(path: str | Path) -> str:
    """A path as one would type it here: relative, if it is below this directory."""
    path = Path(path).absolute()
    return str(
        path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    )


if __name__ == "__main__":
    sys.exit(main())
