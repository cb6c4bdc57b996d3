"""Chat templates are programs of whoever made the model: they run in transformers' sandbox, and within a time limit."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from icr.errors import ModelError, one_line

SECONDS = 10.0
"""What one rendering may take; a real one takes less than a thousandth of it."""

T = TypeVar("T")


def guarded(render: Callable[[], T], source: str) -> T:
    """What `render` returns, which runs a chat template.

    It runs in a thread of its own, so that the limit holds in every thread and on every system. A thread that is given
    up on is ended at its next Python instruction; one that is inside a single huge operation, such as `9**9**9`, holds
    the interpreter until that is done.

    Args:
        source: of the template, for the message: the subject of a sentence.

    Raises:
        ModelError: the template has a mistake in it, refuses what it is given (`raise_exception`), reaches for what the
            sandbox forbids, or does not come to an end.
    """
    result: Future[T] = Future()

    def work() -> None:
        try:
            result.set_result(render())
        except _GivenUp:
            return
        except Exception as error:
            result.set_exception(error)

    thread = threading.Thread(target=work, name="chat template", daemon=True)
    thread.start()
    try:
        return result.result(SECONDS)
    except TimeoutError:
        _end(thread)
        raise ModelError(
            f"{source} does not come to an end within {SECONDS:g} seconds, so prompts cannot be rendered: there is a "
            f"loop in it that is far too long. {_ADVICE}"
        ) from None
    except Exception as error:
        raise ModelError(
            f"{source} cannot render a conversation: {type(error).__name__}: {one_line(error).rstrip('.')}. {_ADVICE}"
        ) from error


_ADVICE = (
    "Mend it, or give the one that the model was trained with as model.loader.chat_template; where it renders prompts "
    "and no answers, name the token that ends a turn as model.loader.end_of_turn."
)


class _GivenUp(BaseException):
    """Ends a thread whose template does not."""


def _end(thread: threading.Thread) -> None:
    """Have `thread` leave at its next instruction: threads cannot be killed, and this one would go on for ever."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_GivenUp))
