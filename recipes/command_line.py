"""Errors of the library in the words of the command line."""

import contextlib

FLAGS = {"header=False": "--no-header", "truncate=True": "--truncate"}


@contextlib.contextmanager
def saying_flags():
    """Inside, errors that advise an argument of the library advise the command line's flag."""
    try:
        yield
    except ValueError as error:
        message = str(error)
        for argument, flag in FLAGS.items():
            message = message.replace(argument, flag)
        if message == str(error):
            raise
        raise ValueError(message) from error
