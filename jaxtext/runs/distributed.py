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
from typing import Any, NoReturn

import jax
from jax._src.clusters import ClusterEnv

import jaxtext
from jaxtext.errors import InputError
from jaxtext.runs.agreement import check_alike
from jaxtext.runs.endings import Ending, versions
from jaxtext.runs.meeting import NotMetError, meet
from jaxtext.runs.partners import Partners
from jaxtext.runs.supervise import last_words, supervise, supervised
from jaxtext.streams import flush_all, say

SETTLE_SECONDS = 1.0

_partners: Partners | None = None

# Settings that JAX may read from its environment, and that change results, with the
# values that they have without it.
_SETTINGS = {
    "jax_enable_x64": False,
    "jax_default_prng_impl": "threefry2x32",
    "jax_default_matmul_precision": None,
    "jax_threefry_partitionable": True,
}


def run(
    main: Callable[[], int],
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    heartbeat_seconds: int = 60,
    meet_seconds: int = 300,
) -> NoReturn:
    """Runs a program as one process of several, none of which waits forever.

    This process starts its own command again as a child, which does the work. If the
    runtime ends the child, this process can explain why (see `supervise`). Code before
    this call runs in both.

    It does not return. The exit status of the process is that of the program, or 75 if
    another process was lost, or did not come: see `jaxtext.runs.endings`.

    Args:
      main: The program. It returns the exit status: 1 or 2 if it ended for a reason
        that may not hold for the other processes, anything else if all of them end the
        same way. An exception counts as a reason of this process.
      coordinator: See `initialize`.
      num_processes: See `initialize`.
      process_id: See `initialize`.
      heartbeat_seconds: See `initialize`.
      meet_seconds: See `initialize`.

    """
    if not supervised():
        status = supervise()
        flush_all()
        os._exit(status)
    try:
        initialize(
            coordinator,
            num_processes,
            process_id,
            heartbeat_seconds=heartbeat_seconds,
            meet_seconds=meet_seconds,
        )
    except NotMetError as error:
        Ending.NOT_MET.end_now(error=error)
    except InputError as error:
        say(f"error: {error}")
        leave(Ending.INPUT.status_of(), alone=True)
    try:
        status = main()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(bool(error.code))
    except BaseException as error:
        if isinstance(error, jax.errors.JaxRuntimeError):
            # Another process may be lost, without closing a connection. The runtime
            # notices within this time, and then ends this process.
            time.sleep(heartbeat_seconds + 5)
        else:
            settle()
        say("".join(traceback.format_exception(error)).rstrip())
        say(Ending.BUG.words(versions=versions()))
        status = Ending.BUG.status_of()
    leave(status, alone=status in (Ending.BUG.status, Ending.INPUT.status))


def initialize(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    heartbeat_seconds: int = 60,
    meet_seconds: int = 300,
) -> None:
    """Joins the other processes. JAX then has the devices of all of them.

    Call it before JAX is used. Without arguments, everything is found in the
    environment: on Cloud TPU slices, under Slurm or Open MPI, and in Kubernetes jobs
    (which need ``pip install 'jax[k8s]'``).

    While others are missing, a line on standard error says which, after 5 s and every
    30 s. If another process ends later, this one is ended too, with status 75: within
    a moment if the other was killed, and after `heartbeat_seconds` if it is silent.
    So end the program with `leave`: the others take any other end for a loss.

    Args:
      coordinator: ``HOST:PORT`` of process 0. The port must be free there.
      num_processes: The number of processes.
      process_id: The number of this process, from 0.
      heartbeat_seconds: A process that sends no heartbeat for this time is lost. The
        runtime then ends the others, in a way that Python cannot catch: see `run`.
      meet_seconds: How long to wait until all processes have joined.

    Raises:
      InputError: If an argument is not valid, if the environment has no settings, or if
        the processes differ in their number, their versions of JAX or jaxtext, or
        their JAX settings. All processes raise it.
      NotMetError: If not all processes come in time.
    """
    global _partners
    given = coordinator, num_processes, process_id
    if heartbeat_seconds < 1:
        raise InputError(
            f"heartbeat: expected 1 second or more, got {heartbeat_seconds}"
        )
    if given == (None, None, None):
        *found, local_devices = _found(meet_seconds)
    elif None in given:
        raise InputError(
            "expected coordinator, number of processes and process id, or none of the "
            f"three if the environment has them, got {given}"
        )
    else:
        found, local_devices = given, None
    where, count, process = _checked(*found)
    # Its handler in C++ would replace Python's, and SIGTERM would be lost.
    jax.config.update("jax_enable_preemption_service", False)
    partners = meet(where, count, process, seconds=meet_seconds, say=say)
    Ending.LOST.leave_words(
        who="another process of the run, or the runtime itself failed"
    )
    partners.watch()
    _partners = partners
    jax.distributed.initialize(
        where,
        count,
        process,
        local_devices,
        cluster_detection_method="deactivate",
        heartbeat_timeout_seconds=heartbeat_seconds,
        initialization_timeout=max(60, meet_seconds),
    )
    check_alike(
        {
            "the version of jaxtext": jaxtext.__version__,
            "the version of JAX": version("jax"),
            "the version of jaxlib": version("jaxlib"),
            **{
                name: getattr(jax.config, name)
                for name in ("jax_platforms", *_SETTINGS)
            },
        }
    )


def unusual_settings() -> dict[str, Any]:
    """The settings of JAX that change results and are not as usual, by their names.

    Example:
      >>> import jax
      >>> with jax.default_matmul_precision("float32"):
      ...     unusual_settings()
      {'jax_default_matmul_precision': 'float32'}
    """
    found = {name: getattr(jax.config, name) for name in _SETTINGS}
    return {name: x for name, x in found.items() if x != _SETTINGS[name]}


def settle() -> None:
    """Waits a moment, in which this process ends if another one is lost.

    Call it before an error is told that may only come of that. With one process it does
    nothing.
    """
    if _partners is not None:
        time.sleep(SETTLE_SECONDS)


def leave(status: int, *, alone: bool) -> NoReturn:
    """Leaves the other processes, and ends this one: the last call of a program.

    Args:
      status: The exit status.
      alone: Whether this process ends for a reason of its own. If so, it tells the
        others, which end too, with status 75. If not, it waits until all processes have
        called this. If one of them is lost before that, its status is 75 as well.
    """
    if _partners is None:  # they have not met
        last_words(status, "")
    elif alone:
        _partners.claim_end()
        last_words(status, "")
        _partners.tell_left(status)
    else:
        _partners.leave_with_others()
        try:
            jax.distributed.shutdown()
        except Exception:
            Ending.LOST.end_now(who="another process of the run, as all were to end")
        _partners.claim_end()
        last_words(status, "")
    flush_all()
    # The interpreter takes a moment to end. The status must not depend on whether the
    # process is killed in it.
    os._exit(status)


def _found(seconds):
    """What the environment knows: address, number of processes, which one this is."""
    # JAX does not look at this variable where the environment says something else.
    own = os.environ.get("JAX_LOCAL_DEVICE_IDS")
    try:
        address, count, process, devices = (
            ClusterEnv.auto_detect_unset_distributed_params(
                os.environ.get("JAX_COORDINATOR_ADDRESS"),
                None,
                None,
                [int(x) for x in own.split(",")] if own else None,
                None,
                seconds,
            )
        )
    except (ValueError, RuntimeError) as error:
        why = " ".join(str(error).split())
        # On Kubernetes and TPU slices, JAX waits for the name of process 0.
        if (
            isinstance(error.__cause__, socket.gaierror)
            or "recognize coordinator" in why
        ):
            raise NotMetError(f"process 0 has no address yet ({why})") from error
        raise _not_described(why) from error
    if None in (address, count, process):
        raise _not_described("it has no coordinator")
    return address, count, process, devices


def _not_described(why):
    return InputError(
        f"the environment does not describe the processes of this run ({why}); "
        "expected a TPU slice, Slurm, Open MPI or Kubernetes; give coordinator, number "
        "of processes and process id"
    )


def _checked(coordinator: Any, num_processes: Any, process_id: Any):
    host, _, port = coordinator.rpartition(":")
    plain = ":" not in host or (host[0], host[-1]) == ("[", "]")
    if not (host and plain and port.isdecimal() and 0 < int(port) < 2**16):
        raise InputError(
            f"coordinator: expected HOST:PORT or [IPV6]:PORT, got {coordinator!r}"
        )
    if not 0 <= process_id < num_processes:
        raise InputError(
            f"process id: expected 0 or more, below the number of processes, "
            f"{num_processes}, got {process_id}"
        )
    return coordinator, num_processes, process_id
