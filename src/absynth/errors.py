"""What goes wrong for a user, in one line: what was expected, what was got, what to do."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line that says expected, got and what to do. The command line prints it without a traceback and
    exits with status 2; nothing that was on disk has been changed.
    """


class Unsupported(InputError):
    """A model or a data set cannot do what was requested; the message says why and what to use instead."""


class Diverged(RuntimeError):
    """Training diverged and the guard used up its tries; the message is the diagnosis."""
