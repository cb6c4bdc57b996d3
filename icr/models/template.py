"""Chat templates are programs of whoever made the model: they run in transformers' sandbox, and within a time limit."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from icr.errors import ModelError, one_line

SECONDS = 10.0
"""What one rendering may take; a real one takes less than a thousandth of it."""

SUFFIX = ".jinja"
"""Of files that hold a chat template, as transformers names its own."""

T = TypeVar("T")


def template_text(given: str) -> str:
    """A chat template: `given` itself, or the content of the file where it names one (`*.jinja`).

    Raises:
        ValueError: there is no such file, or it is no text.
    """
    if not given.endswith(SUFFIX) or "{" in given or "\n" in given:
        return given
    try:
        return Path(given).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"chat_template is the file {given}, which cannot be read: {one_line(error)}") from error


def guarded(render: Callable[[], T], source: str) -> T:
    """What `render` returns, which runs a chat template.

    It runs in another thread, so that the limit holds in every thread and on every system. A thread that is given up on
    is ended at its next Python instruction; one that is inside a single huge operation, such as `9**9**9`, holds the
    interpreter until that is done.

    Args:
        source: of the template, for the message: the subject of a sentence.

    Raises:
        ModelError: the template has a mistake in it, refuses what it is given (`raise_exception`), reaches for what the
            sandbox forbids, or does not come to an end.
    """
    try:
        worker = _idle.pop()
    except IndexError:
        worker = _Worker()
    result = worker.begin(render)
    try:
        rendered = result.result(SECONDS)
    except TimeoutError:
        worker.end()
        raise ModelError(
            f"{source} does not come to an end within {SECONDS:g} seconds, so prompts cannot be rendered: there is a "
            f"loop in it that is far too long. {_ADVICE}"
        ) from None
    except Exception as error:
        _idle.append(worker)
        raise ModelError(
            f"{source} cannot render a conversation: {type(error).__name__}: {one_line(error).rstrip('.')}. {_ADVICE}"
        ) from error
    _idle.append(worker)
    return rendered


_ADVICE = (
    "Mend it, or give the one that the model was trained with as model.loader.chat_template; where it renders prompts "
    "and no answers, name the token that ends a turn as model.loader.end_of_turn."
)


class _GivenUp(BaseException):
    """Ends a thread whose template does not."""


class _Worker:
    """A thread that renders what it is given: to begin a thread each time takes ten times as long as to render."""

    def __init__(self) -> None:
        self._given: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="chat template", daemon=True)
        self._thread.start()

    def begin(self, render: Callable[[], T]) -> Future[T]:
        """Have it rendered."""
        result: Future[T] = Future()
        self._given.put((render, result))
        return result

    def end(self) -> None:
        """Have the thread leave at its next instruction: it cannot be killed, and would go on for ever."""
        identity = ctypes.c_ulong(self._thread.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(identity, ctypes.py_object(_GivenUp))

    def _work(self) -> None:
        with contextlib.suppress(_GivenUp):
            while True:
                _answer(*self._given.get())


def _answer(render: Callable[[], Any], result: Future[Any]) -> None:
    try:
        result.set_result(render())
    except Exception as error:
        result.set_exception(error)


_idle: list[_Worker] = []
"""As many as there have been renderings side by side; a forked process has none of its parent's threads."""
os.register_at_fork(after_in_child=_idle.clear)
