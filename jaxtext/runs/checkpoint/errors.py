"""Which error of the operating system is behind an error of Orbax."""

import errno
import os
import re


def os_error_code(error: Exception) -> int | None:
    """Returns the `errno` of an error, also if TensorStore put it into another one.

    Example:
      >>> os_error_code(ValueError("Error reading [os_error_code='5']"))
      5
    """
    if isinstance(error, OSError):
        return error.errno
    number = re.search(r"os_error_code='(\d+)'|OS error (\d+)", str(error))
    return int(number[1] or number[2]) if number else None


def as_os_error(error: Exception) -> OSError:
    """Turns any reason why a save failed (disk, process, memory) into an ``OSError``.

    Example:
      >>> as_os_error(RuntimeError("a process is gone"))
      OSError('RuntimeError: a process is gone')
    """
    if isinstance(error, OSError):
        return error
    code = os_error_code(error)
    if code is not None:
        return OSError(code, os.strerror(code))
    if "No space left" in str(error):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return OSError(f"{type(error).__name__}: {error}")
