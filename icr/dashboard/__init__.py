"""A W&B workspace and a report, built as code from the list of metric names. Imported when it is asked for."""

from typing import TYPE_CHECKING

from icr.lazy import lazily

if TYPE_CHECKING:
    from icr.dashboard.job import specification
    from icr.dashboard.outline import sections
    from icr.dashboard.subject import Subject, default_subject, subject_of

__all__ = ["Subject", "default_subject", "sections", "specification", "subject_of"]

__getattr__ = lazily(
    __name__,
    {
        "icr.dashboard.job": ["specification"],
        "icr.dashboard.outline": ["sections"],
        "icr.dashboard.subject": ["Subject", "default_subject", "subject_of"],
    },
)
