"""Chat templates that are broken, that refuse, that reach for what is forbidden, or that never end."""

from __future__ import annotations

import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from icr.errors import ModelError
from icr.models import template
from icr.models.rendering import Renderer

FOR_EVER = "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}"
BROKEN = {
    "a syntax error": ("{% for m in messages %}{{ m.content ", "TemplateSyntaxError: unexpected end of template"),
    "an unknown filter": ("{{ messages | upside_down }}", "No filter named 'upside_down'"),
    "a refusal": ("{{ raise_exception('Only French is spoken here.') }}", "Only French is spoken here"),
    "what the sandbox forbids": ("{{ ''.__class__.__mro__ }}", "SecurityError: access to attribute '__class__'"),
    "a change of its arguments": ("{{ messages.append(1) }}", "SecurityError"),
    "a wrong operation": ("{{ 1 + 'a' }}", "TypeError: unsupported operand"),
    "recursion": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
}


def with_template(tokenizer, text: str):
    tokenizer.chat_template = text
    return tokenizer


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("end_of_turn", ["", "<end>"])
def test_it_is_refused_when_the_tokenizer_is_read(what, end_of_turn, make_tokenizer):
    text, cause = BROKEN[what]
    with pytest.raises(ModelError) as error:
        Renderer(with_template(make_tokenizer(), text), end_of_turn, "The chat template of some/where")
    assert str(error.value).startswith("The chat template of some/where cannot render a conversation: ")
    assert cause in str(error.value)
    assert "model.loader.chat_template" in str(error.value)


def test_one_that_renders_prompts_and_no_answers_needs_its_end_named(make_tokenizer):
    refusal = "{% if m.role == 'assistant' %}{{ raise_exception('No answers.') }}{% endif %}"
    text = f"{{% for m in messages %}}{refusal}x{{% endfor %}}"
    with pytest.raises(ModelError, match=r"No answers\. .*model\.loader\.end_of_turn"):
        Renderer(with_template(make_tokenizer(), text))
    assert Renderer(with_template(make_tokenizer(), text), "<end>").prompt_ids("a")


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_loop_without_end_is_given_up_in_every_thread(elsewhere, make_tokenizer, monkeypatch):
    monkeypatch.setattr(template, "SECONDS", 0.3)
    found = []

    def render():
        with pytest.raises(ModelError) as error:
            Renderer(with_template(make_tokenizer(), FOR_EVER))
        found.append(str(error.value))

    if elsewhere:
        other = threading.Thread(target=render)
        other.start()
        other.join(20)
    else:
        render()
    assert "The chat template does not come to an end within 0.3 seconds" in found[0]
    until = time.monotonic() + 10
    while sum(thread.name == "chat template" for thread in threading.enumerate()) > len(template._idle):
        assert time.monotonic() < until, "the thread goes on"
        time.sleep(0.02)


def test_threads_are_used_again_and_a_fork_has_its_own(make_tokenizer):
    renderer = Renderer(make_tokenizer())
    names = [thread.name for thread in threading.enumerate()]
    assert renderer.prompt_ids("a") == renderer.prompt_ids("a")
    assert [thread.name for thread in threading.enumerate()] == names
    with multiprocessing.get_context("fork").Pool(1) as forked:
        ids = forked.apply_async(renderer.prompt_ids, ["a"]).get(template.SECONDS / 2)
    assert ids == renderer.prompt_ids("a")


def test_renderings_side_by_side_do_not_wait_for_each_other(make_tokenizer):
    renderer, both = Renderer(make_tokenizer()), threading.Barrier(2, timeout=template.SECONDS / 2)
    with ThreadPoolExecutor(2) as pool:
        assert len(list(pool.map(lambda _: template.guarded(both.wait, "It"), range(2)))) == 2
    assert renderer.prompt_ids("a")


def test_a_prompt_that_the_template_refuses_is_an_error_of_ours(make_tokenizer):
    text = "{% for m in messages %}{% if 'x' in m.content %}{{ raise_exception('No x.') }}{% endif %}a{% endfor %}"
    renderer = Renderer(with_template(make_tokenizer(), text))
    with pytest.raises(ModelError, match=r"TemplateError: No x\."):
        renderer.prompt_ids("x")
