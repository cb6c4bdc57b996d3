"""The page: whatever comes out of data is text."""

from __future__ import annotations

from icr.doctor.diagnose.page import render
from icr.doctor.diagnose.result import Diagnosed, Result
from icr.doctor.diagnose.show import headline
from icr.evaluation.diagnosis.verdict import Level, Reason, Verdict

HOSTILE = "<script>alert(1)</script>"


def test_what_comes_from_outside_is_escaped_and_nothing_is_loaded():
    reason = Reason(Level.NO_GO, "accuracy", f"bad {HOSTILE}")
    languages = {"sw": Diagnosed(Verdict.of([reason])), "en": Diagnosed(Verdict.of([]))}
    page = render(Result(languages, "crosslingual", ["crosslingual"], {"policy": HOSTILE, "reference": "b"}, [HOSTILE]))
    assert HOSTILE not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 4
    assert "default-src 'none'" in page
    assert "http" not in page.replace("http-equiv", "")
    assert headline(Result(languages, "c", ["c"], {})) == "go: en · no-go: sw"
