"""What all pages share: they need no network and trust no model's text."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

HERE = Path(__file__).parent
RIGHT_TO_LEFT = {"ar", "fa", "he", "ur", "ps", "sd", "ug", "yi"}


def render(template: str, script: str | None = None, **values: Any) -> str:
    """A page as text. Autoescape is on: whatever comes out of a run is data, never markup.

    Args:
        template: name of its file here. It may import from `macros.html`, and is given `style`, `script` and
            `script_hash`, by which alone its content security policy lets a script run.
        script: name of its script's file here, which may use what `elements.js` defines; None where it has none.
        values: what else it is given.
    """
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["direction"] = lambda language: "rtl" if language in RIGHT_TO_LEFT else "auto"
    names = ("elements.js", script) if script else ()
    code = "".join((HERE / name).read_text(encoding="utf-8") for name in names)
    return environment.get_template(template).render(
        style=Markup((HERE / "style.css").read_text(encoding="utf-8")),
        script=Markup(code),
        script_hash=base64.b64encode(hashlib.sha256(code.encode()).digest()).decode(),
        **values,
    )


def script_json(data: Any) -> Markup:
    """JSON that cannot end the `<script>` element it stands in, whatever the text in it."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
