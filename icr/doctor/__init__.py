"""Before an expensive run: is the model pair sound, do the prompts fit, what will it need and how long will it take."""

from typing import TYPE_CHECKING

from icr.lazy import lazily

if TYPE_CHECKING:
    from icr.doctor.findings import FAIL, PASS, WARN, Finding
    from icr.doctor.settings import DoctorSettings
    from icr.doctor.setup import Setup, setup_of

__all__ = [
    "FAIL",
    "PASS",
    "WARN",
    "DoctorSettings",
    "Finding",
    "Setup",
    "setup_of",
]

__getattr__ = lazily(
    __name__,
    {
        "icr.doctor.findings": ["FAIL", "PASS", "WARN", "Finding"],
        "icr.doctor.settings": ["DoctorSettings"],
        "icr.doctor.setup": ["Setup", "setup_of"],
    },
)
