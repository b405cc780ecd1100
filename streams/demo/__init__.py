"""The demo: a contact centre that is simulated in step with the clock, the worker that counts it, and what a terminal shows of both."""


class WorkerError(Exception):
    """The demo's worker cannot run: what it said, and where its log is, in one line."""
