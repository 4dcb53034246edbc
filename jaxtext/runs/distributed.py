"""Several processes that train together: how they find, and how they leave one another.

Each process runs the same program on its own devices, of one or more hosts. One of
them, process 0, is the coordinator, whom all others know by its address.
"""

import os
import socket
import time
import traceback
from collections.abc import Callable
from importlib.metadata import version

import jax
from jax._src import distributed as runtime

import jaxtext
from jaxtext.errors import InputError
from jaxtext.runs.agreement import check_alike
from jaxtext.runs.supervise import last_words, supervise, supervised
from jaxtext.streams import flush_all, say

LOST = 75  # the exit status EX_TEMPFAIL: try again

# What JAX may have been told of by its environment, and computes by.
_SETTINGS = (
    "jax_platforms",
    "jax_enable_x64",
    "jax_default_prng_impl",
    "jax_default_matmul_precision",
)


def run(
    main: Callable[[], int],
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    heartbeat_seconds: int = 60,
) -> int:
    """Runs a program as one process of several, and sees that none waits for ever.

    It starts the command that this process is once more, as a child, which does the
    work: the runtime's own end is then told in words (see `supervise`). What stands
    before the call in the program is run by both.

    Args:
      main: The program from here on; it returns the exit status: 2 if it ended for a
        reason of this process's own, which may not hold for the others, anything else
        if all processes come to the same end. An exception counts as its own, too.
      coordinator: As for `initialize`, like all that follow.
      num_processes: How many there are.
      process_id: Which this one is, from 0.
      heartbeat_seconds: A process that is not heard of for so long is lost.

    Returns:
      The exit status, 75 if another process was lost.

    Raises:
      InputError: As `initialize`.
    """
    if not supervised():
        return supervise()
    given = coordinator, num_processes, process_id
    initialize(*given, heartbeat_seconds=heartbeat_seconds)
    try:
        status = main()
    except BaseException as error:
        if isinstance(error, jax.errors.JaxRuntimeError) or "Gloo" in str(error):
            # Perhaps another process was lost, which the runtime is about to find; it
            # then ends this one, and what is to be said of that has been left.
            time.sleep(heartbeat_seconds + 5)
        say(traceback.format_exc())
        status = 1
    leave(status, alone=status in (1, 2))
    return status


def initialize(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    heartbeat_seconds: int = 60,
    connect_seconds: int = 300,
) -> None:
    """Joins the other processes, before JAX is used; it then has all their devices.

    With no arguments, all is found in the environment: on Cloud TPU slices, under Slurm
    or Open MPI, and in Kubernetes jobs (which needs ``pip install 'jax[k8s]'``).

    Args:
      coordinator: ``HOST:PORT`` of process 0, with a port that is free there.
      num_processes: How many there are.
      process_id: Which this one is, from 0.
      heartbeat_seconds: A process that is not heard of for so long is lost, and the
        runtime ends the others, which no handler in Python can tell: see `run`.
      connect_seconds: How long to wait for all to come.

    Raises:
      InputError: If what is given cannot be, nothing is found, nobody answers, or the
        processes differ in how many they are, in their versions of JAX or jaxtext, or
        in how JAX is set. This is told in all of them.
    """
    given = coordinator, num_processes, process_id
    if heartbeat_seconds < 1:
        raise InputError(
            f"heartbeat: expected 1 second or more, got {heartbeat_seconds}"
        )
    if given == (None, None, None):
        where, method = "the coordinator that the environment names", None
    elif None in given:
        raise InputError(
            "expected coordinator, number of processes and process id, or none of the "
            f"three where the environment tells them, got {given}"
        )
    else:
        _check(*given, connect_seconds)
        where, method = str(coordinator), "deactivate"
    # Its handler in C++ would take the place of Python's, and SIGTERM be lost.
    jax.config.update("jax_enable_preemption_service", False)
    last_words(
        2,
        f"error: not all processes met at {where} within {connect_seconds} s; start "
        "the same command on every host, and see that they reach that address",
    )
    try:
        jax.distributed.initialize(
            *given,
            cluster_detection_method=method,
            heartbeat_timeout_seconds=heartbeat_seconds,
            initialization_timeout=connect_seconds,
        )
    except (ValueError, RuntimeError) as error:
        raise InputError(
            "the processes of this run cannot be told from the environment "
            f"({' '.join(str(error).split())}); expected a TPU slice, Slurm, Open MPI "
            "or Kubernetes; give coordinator, number of processes and process id"
        ) from error
    last_words(
        LOST,
        "lost contact with another process of the run (or the runtime failed by "
        "itself: see above); everything saved is good: the same command on every host "
        "goes on from the last checkpoint",
    )
    try:
        check_alike(
            {
                "the number of processes": runtime.global_state.num_processes,
                "the version of jaxtext": jaxtext.__version__,
                "the version of JAX": version("jax"),
                "the version of jaxlib": version("jaxlib"),
                **{name: getattr(jax.config, name) for name in _SETTINGS},
            }
        )
    except InputError:
        last_words(2, "")  # all of them end now, and have their own to say
        raise


def leave(status: int, *, alone: bool) -> None:
    """Leaves the other processes, as the last thing before the end of this one.

    Args:
      status: The exit status to be.
      alone: Whether this process ends for a reason of its own. The others do not come
        to an end by themselves, then, so that they are not waited for, and this does
        not return: it ends the process. If not, it returns when all have come here.
    """
    last_words(status, "")
    if not alone:
        jax.distributed.shutdown()
        return
    flush_all()
    time.sleep(1)  # what ends this one may end the others, with words of their own
    os._exit(status)


def _check(coordinator, num_processes, process_id, seconds):
    host, _, port = coordinator.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 2**16):
        raise InputError(f"coordinator: expected HOST:PORT, got {coordinator!r}")
    if not 0 <= process_id < num_processes:
        raise InputError(
            f"process id: expected 0 or more, below the number of processes, "
            f"{num_processes}, got {process_id}"
        )
    # In C++ either of these would be the end of the process.
    if process_id == 0:
        _check_free(int(port))
    else:
        _await(host.strip("[]"), int(port), seconds)


def _check_free(port):
    try:
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("", port))
    except OSError as error:
        raise InputError(
            f"coordinator: port {port} cannot be used here ({error.strerror}); choose "
            "another"
        ) from error


def _await(host, port, seconds):
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host, port), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise InputError(
                    f"coordinator: nobody answered at {host}:{port} within {seconds} s "
                    f"({error.strerror or error}); start process 0 there, and see that "
                    "this host reaches that port"
                ) from error
        time.sleep(0.2)
