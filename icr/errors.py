"""What a user can put right. Each message is one paragraph: what is wrong, where, and what to do."""


class ICRError(Exception):
    """Base of the errors that the command line prints as a paragraph, without a traceback."""


class ConfigError(ICRError):
    """A setting is unknown, mistyped, out of range, or does not fit another one."""


class DataError(ICRError):
    """A prompt, demonstration or preference file is missing, malformed or inconsistent."""


class ModelError(ICRError):
    """A model or tokenizer cannot be loaded or cannot be used for this run."""


class RunError(ICRError):
    """The run directory cannot be used, or the run cannot go on (no pairs, non-finite numbers)."""


class Reported(Exception):
    """A job of a sweep has failed, and its paragraph is printed."""
