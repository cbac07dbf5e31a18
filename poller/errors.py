"""Every error that leaves a room of the house; the leaves say whose fault it is.

A message is one readable sentence for the person who has to act: what, where, what to do.
"""

from poller.core.model import SourceProblem


class PollerError(Exception):
    """The root; never raised itself. `exit_code` is what the command line ends with."""

    exit_code = 1


class ConfigurationError(PollerError):
    """The user's configuration or arguments are wrong; each line of the text is one problem."""

    exit_code = 2


class HandlerError(PollerError):
    """A handler could not be set up for a reason that is not the configuration's."""


class SourceError(PollerError):
    """A call to a source failed. `problem` is what it means to us; `code` is the service's own word."""

    def __init__(self, problem: SourceProblem, message: str, code: str = "") -> None:
        super().__init__(message)
        self.problem = problem
        self.code = code
        if problem in {SourceProblem.MISSING, SourceProblem.REFUSED}:
            self.exit_code = ConfigurationError.exit_code  # what the user wrote cannot be right


class StoreError(PollerError):
    """The state cannot be read or written: which file or table, why, what to do."""


class DestinationError(PollerError):
    """A failure document was not accepted."""


class ListenError(PollerError):
    """A listener's address is taken or not ours."""


class StopDeadlinePassed(PollerError):  # noqa: N818 - named for what has happened
    """The stop deadline passed with work still running; that work was abandoned and given back."""

    exit_code = 3
