"""The exception that calls raise when they fail as a whole."""


class Error(Exception):
    """A call failed: `outcome` (a `tarn.Outcome`) says what to do, the text what went wrong."""

    def __init__(self, outcome, message=""):
        super().__init__(message)
        self.outcome = outcome

    def __str__(self):
        return f"{self.outcome.name}: {self.args[0]}"
