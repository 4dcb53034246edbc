"""Intercepts system calls of another process: lets them through, or makes them fail.

The kernel asks this process before it executes a call (seccomp's user notification).
So the faults come from below Python and all libraries, and the calls of all threads are
numbered in one sequence. `strace -e inject` counts them in each thread, and TensorStore
writes from a pool of threads. Linux on x86-64 only.
"""

import ctypes
import errno
import fcntl
import os
import platform
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

NUMBERS = {
    **{"read": 0, "pread64": 17, "readv": 19, "preadv": 295, "preadv2": 327},
    **{"write": 1, "pwrite64": 18, "writev": 20, "pwritev": 296, "pwritev2": 328},
    **{"fsync": 74, "fdatasync": 75, "truncate": 76, "ftruncate": 77, "fallocate": 285},
    **{"openat": 257, "mkdir": 83, "mkdirat": 258, "rename": 82, "renameat": 264},
    **{"renameat2": 316, "unlink": 87, "unlinkat": 263, "rmdir": 84, "link": 86},
    **{"linkat": 265, "symlink": 88, "symlinkat": 266, "copy_file_range": 326},
}
READS = ("read", "pread64", "readv", "preadv", "preadv2")
CHANGES = tuple(name for name in NUMBERS if name not in READS)
"""The calls that change files. Of openat, only those that open to write or create."""

KILL = -1
_BY_NUMBER = {number: name for name, number in NUMBERS.items()}
# <linux/seccomp.h>, <linux/filter.h>, <linux/prctl.h>
_SECCOMP, _SET_FILTER, _NEW_LISTENER, _NO_NEW_PRIVILEGES = 317, 1, 8, 38
_LOAD, _IF_EQUAL, _IF_ANY, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _ASK, _X86_64 = 0x7FFF0000, 0x7FC00000, 0xC000003E
_RECEIVE, _SEND, _CONTINUE = 0xC0502100, 0xC0182101, 1


class Call(NamedTuple):
    """A system call that is about to happen: its name, path and target path."""

    name: str
    path: str
    to: str = ""


def supported() -> str | None:
    """Why calls cannot be intercepted here, or ``None`` if they can."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "needs Linux on x86-64"
    try:
        with Intercepted([sys.executable, "-c", ""], ("write",), lambda call: 0) as p:
            return None if p.wait(20) == 0 else "seccomp is refused here"
    except (OSError, EOFError) as error:
        return f"seccomp is refused here ({error})"


class Intercepted(subprocess.Popen[str]):
    """A process whose system calls of some kinds are decided one by one.

    Args:
      command: What to run.
      names: The kinds of calls, among `NUMBERS`.
      decide: Called with each `Call`, in a thread of its own. 0 lets the call happen,
        an error number makes it fail, `KILL` kills the process before it.
      **options: For `subprocess.Popen`.
    """

    def __init__(
        self,
        command: Sequence[str],
        names: Sequence[str],
        decide: Callable[[Call], int],
        **options: Any,
    ):
        self.decide = decide
        ours, theirs = socket.socketpair()
        with ours, theirs:
            asking = [sys.executable, __file__, str(theirs.fileno()), ",".join(names)]
            super().__init__(
                [*asking, *command],
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                **options,
            )
            theirs.close()
            descriptors = socket.recv_fds(ours, 1, 1)[1]
        if not descriptors:
            self.wait()
            raise EOFError(f"no listener from {command}")
        self._listener = descriptors[0]
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self):
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        while True:
            ((_, events),) = poll.poll()
            if not events & select.POLLIN:
                os.close(self._listener)
                return
            asked = bytearray(80)
            try:
                fcntl.ioctl(self._listener, _RECEIVE, asked)
                number, thread = struct.unpack_from("QI", asked)
                name = _BY_NUMBER[struct.unpack_from("I", asked, 16)[0]]
                arguments = struct.unpack_from("6Q", asked, 32)
                result = self.decide(Call(name, *_paths(name, thread, arguments)))
                if result == KILL:
                    os.killpg(self.pid, signal.SIGKILL)
                    continue
                flags = 0 if result else _CONTINUE
                answer = struct.pack("QqiI", number, 0, -result, flags)
                fcntl.ioctl(self._listener, _SEND, answer)
            except OSError as error:
                # The process that asked is dead.
                if error.errno not in (errno.ENOENT, errno.ESRCH):
                    raise


def _paths(name, thread, arguments):
    process = f"/proc/{thread}"
    at_cwd = 0xFFFFFF9C  # AT_FDCWD

    def path(at, address):
        name = _string(process, address)
        if name.startswith("/"):
            return name
        at = "cwd" if at & 0xFFFFFFFF == at_cwd else f"fd/{at}"
        return os.path.join(os.readlink(f"{process}/{at}"), name)

    try:
        if name in ("rename", "link"):
            return path(at_cwd, arguments[0]), path(at_cwd, arguments[1])
        if name in ("renameat", "renameat2", "linkat"):
            return path(*arguments[0:2]), path(*arguments[2:4])
        if name in ("truncate", "mkdir", "unlink", "rmdir"):
            return (path(at_cwd, arguments[0]),)
        if name in ("openat", "mkdirat", "unlinkat"):
            return (path(*arguments[0:2]),)
        if name == "symlink":
            return (path(at_cwd, arguments[1]),)
        if name == "symlinkat":
            return (path(*arguments[1:3]),)
        descriptor = arguments[2 if name == "copy_file_range" else 0]
        return (os.readlink(f"{process}/fd/{descriptor}"),)
    except OSError:
        return ("",)


def _string(process, address):
    """The bytes up to the first zero. The next page may not be readable."""
    found = b""
    with open(f"{process}/mem", "rb", buffering=0) as memory:
        while b"\0" not in found:
            memory.seek(address + len(found))
            piece = memory.read(4096 - (address + len(found)) % 4096)
            if not piece:
                break
            found += piece
    return os.fsdecode(found.partition(b"\0")[0])


def _ask_about(names: Sequence[str]) -> int:
    """Makes the kernel ask about calls of this process. Returns where it asks."""
    kinds = [NUMBERS[name] for name in names if name != "openat"]
    ask, allow = (_RETURN, 0, 0, _ASK), (_RETURN, 0, 0, _ALLOW)
    program = [(_LOAD, 0, 0, 4), (_IF_EQUAL, 1, 0, _X86_64), allow, (_LOAD, 0, 0, 0)]
    for kind in kinds:
        program += [(_IF_EQUAL, 0, 1, kind), ask]
    if "openat" in names:
        changing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
        program += [(_IF_EQUAL, 1, 0, NUMBERS["openat"]), allow]
        program += [(_LOAD, 0, 0, 32), (_IF_ANY, 0, 1, changing), ask]
    program.append(allow)
    code = ctypes.create_string_buffer(
        b"".join(struct.pack("HBBI", *line) for line in program)
    )
    described = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    listener = libc.syscall(_SECCOMP, _SET_FILTER, _NEW_LISTENER, described)
    if listener < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return listener


def _main(channel: str, names: str, *command: str) -> None:
    with socket.socket(fileno=int(channel)) as ours:
        listener = _ask_about(names.split(","))
        socket.send_fds(ours, [b"-"], [listener])
    os.close(listener)
    os.execvp(command[0], command)


if __name__ == "__main__":
    _main(*sys.argv[1:])
