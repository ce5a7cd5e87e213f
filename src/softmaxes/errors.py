"""The one exception that a person at the command line is meant to read."""


class UserError(ValueError):
    """What the user gave cannot be used; the message says what came, what is needed and how to mend it.

    The command line prints the message alone, without a traceback, and exits with status 2. As a library
    exception it is a ValueError, so that code that guards against bad values catches it.
    """
