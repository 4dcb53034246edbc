"""Joining and leaving a run of several processes.

Each process runs the same program on its own devices, on one host or on several. One of
them, process 0, is the coordinator. All others know its address.
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

LOST = 75  # exit status EX_TEMPFAIL: try again

# Settings that JAX may read from its environment, and that change results.
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
    """Runs a program as one process of several, none of which waits forever.

    This process starts its own command again as a child, which does the work. If the
    runtime ends the child, this process can explain why (see `supervise`). Code before
    this call runs in both.

    Args:
      main: The program. It returns the exit status: 2 if it ended for a reason that
        may not hold for the other processes, anything else if all of them end the same
        way. An exception counts as a reason of this process.
      coordinator: See `initialize`.
      num_processes: See `initialize`.
      process_id: See `initialize`.
      heartbeat_seconds: See `initialize`.

    Returns:
      The exit status; 75 if another process was lost.

    Raises:
      InputError: See `initialize`.
    """
    if not supervised():
        return supervise()
    given = coordinator, num_processes, process_id
    initialize(*given, heartbeat_seconds=heartbeat_seconds)
    try:
        status = main()
    except BaseException as error:
        if isinstance(error, jax.errors.JaxRuntimeError) or "Gloo" in str(error):
            # Another process may be lost. Then the runtime notices within this time
            # and ends this process, and the parent prints the last words left below.
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
    """Joins the other processes. JAX then has the devices of all of them.

    Call it before JAX is used. Without arguments, everything is found in the
    environment: on Cloud TPU slices, under Slurm or Open MPI, and in Kubernetes jobs
    (which need ``pip install 'jax[k8s]'``).

    Args:
      coordinator: ``HOST:PORT`` of process 0. The port must be free there.
      num_processes: The number of processes.
      process_id: The number of this process, from 0.
      heartbeat_seconds: A process that sends no heartbeat for this time is lost. The
        runtime then ends the others, in a way that Python cannot catch: see `run`.
      connect_seconds: How long to wait until all processes have joined.

    Raises:
      InputError: If an argument is not valid, if the environment has no settings, if
        nobody answers, or if the processes differ in their number, their versions of
        JAX or jaxtext, or their JAX settings. All processes raise it.
    """
    given = coordinator, num_processes, process_id
    if heartbeat_seconds < 1:
        raise InputError(
            f"heartbeat: expected 1 second or more, got {heartbeat_seconds}"
        )
    if given == (None, None, None):
        where, method = "the coordinator named by the environment", None
    elif None in given:
        raise InputError(
            "expected coordinator, number of processes and process id, or none of the "
            f"three if the environment has them, got {given}"
        )
    else:
        _check(*given, connect_seconds)
        where, method = str(coordinator), "deactivate"
    # Its handler in C++ would replace Python's, and SIGTERM would be lost.
    jax.config.update("jax_enable_preemption_service", False)
    last_words(
        2,
        f"error: not all processes met at {where} within {connect_seconds} s; start "
        "the same command on every host, and check that they can reach that address",
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
            "the environment does not describe the processes of this run "
            f"({' '.join(str(error).split())}); expected a TPU slice, Slurm, Open MPI "
            "or Kubernetes; give coordinator, number of processes and process id"
        ) from error
    last_words(
        LOST,
        "lost contact with another process of the run (or the runtime itself failed: "
        "see above); everything saved is good: the same command on every host "
        "continues from the last checkpoint",
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
        last_words(2, "")  # all processes end now, each with its own message
        raise


def leave(status: int, *, alone: bool) -> None:
    """Leaves the other processes. This must be the last call of the program.

    Args:
      status: The exit status.
      alone: Whether this process ends for a reason of its own. If so, it does not wait
        for the others, which are still running: this ends the process and does not
        return. If not, this returns when all processes have called it.
    """
    last_words(status, "")
    if not alone:
        jax.distributed.shutdown()
        return
    flush_all()
    time.sleep(1)  # the same reason may end the others, with messages of their own
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
    # In C++, either of these errors would end the process.
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
            "another port"
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
                    f"({error.strerror or error}); start process 0 there, and check "
                    "that this host can reach that port"
                ) from error
        time.sleep(0.2)
