"""The errors of the trainer. Their messages are sentences for the user: what was wrong and what to do.

TrainingError        the root: the command line prints it and exits with 1, without a stack trace
├── DataError        a file is missing, truncated or holds something that is not a digit
├── RunError         a run folder cannot be used or resumed, or the training itself went wrong
└── ExportError      the exported graph is not the trained model, so nothing was published
"""


class TrainingError(Exception):
    """The root of the tree; `str(error)` says what was wrong and what to do."""


class DataError(TrainingError):
    """The data cannot be used; the message names the file, the row and what was expected."""


class RunError(TrainingError):
    """The run cannot be started, resumed or finished."""


class ExportError(TrainingError):
    """The graph disagrees with the Keras model, so it was not published."""


def one_line(error: Exception) -> str:
    """A third-party error as one line: of TensorFlow's "in user code: File ..." only the last line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return (lines[-1] if lines[0].startswith("in user code") else lines[0]).rstrip(".") + "."


def missing(error: ModuleNotFoundError) -> str:
    """What to do where a package is not installed. Raises the error again for a missing module of our own."""
    package = (error.name or "").partition(".")[0]
    if package in ("training", "service"):
        raise error
    return f"The trainer is not installed here (no {package}): run `make train`, or pip install -e '.[training]'."
