"""The one exception that is meant for the eyes of whoever typed the command."""


class InputError(ValueError):
    """Something the caller gave cannot be used.

    The message is one line: what was expected, what came, what to do about it.
    Experiment scripts print it and exit with status 2; library users catch it as
    a ``ValueError``.
    """
