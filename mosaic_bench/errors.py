"""Exceptions that the whole package shares."""


class UserError(Exception):
    """Bad input. The message says what is wrong, where, and what to do; the command line prints it and exits with 2."""


class Unsupported(Exception):
    """A method cannot run in this cell. The cell shows n/a, and the one sentence carried here stands under the table."""
