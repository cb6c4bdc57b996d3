"""Tokenizer and chat template of a pair: one vocabulary, one begin-of-sequence token, turns that open and end."""

from __future__ import annotations

from collections.abc import Iterator

from icr.doctor.findings import Finding, failed, passed, warned
from icr.models.rendering import Renderer
from icr.models.tokenizer import check_same_vocabulary

QUESTION, ANSWER = "How are you?", "Fine."
USER = [{"role": "user", "content": QUESTION}]


def vocabulary(policy: Renderer, reference: Renderer, paths: tuple[str, str]) -> Iterator[Finding]:
    """One vocabulary for both models.

    Raises:
        ModelError: a token differs.
    """
    check_same_vocabulary(policy, reference, *paths)
    yield passed("vocabulary", f"{len(policy.tokenizer)} tokens, the same in policy and reference")


def template(policy: Renderer, reference: Renderer) -> Iterator[Finding]:
    """One chat template for both models; the policy's is what a run renders with."""
    if policy.tokenizer.chat_template == reference.tokenizer.chat_template:
        yield passed("chat template", "the same in policy and reference")
    elif (ours := policy.prompt_ids(QUESTION)) == (theirs := reference.prompt_ids(QUESTION)):
        yield passed("chat template", "policy and reference render a prompt alike")
    else:
        yield warned(
            "chat template",
            "policy and reference differ: "
            f"{policy.tokenizer.decode(ours)!r} against {reference.tokenizer.decode(theirs)!r}",
            "Responses are scored under the policy's template; a reference trained with another is not at home in it, "
            "and the reward holds the difference. Give the template that both were trained with.",
        )


def begin(renderer: Renderer) -> Iterator[Finding]:
    """Exactly one begin-of-sequence token, if the model has one."""
    name, tokenizer = "begin of sequence", renderer.tokenizer
    if tokenizer.bos_token_id is None:
        yield passed(name, "the tokenizer has no such token")
        return
    ids = renderer.prompt_ids(QUESTION)
    count = ids.count(tokenizer.bos_token_id)
    start = tokenizer.decode(ids[:4])
    expects = tokenizer.encode("a")[:1] == [tokenizer.bos_token_id]
    if count > 1:
        yield failed(
            name,
            f"{tokenizer.bos_token} comes {count} times in a prompt, which begins {start!r}",
            "Take it out of the chat template, or out of the text around it: the model has seen one.",
        )
    elif count == 1 and ids[0] == tokenizer.bos_token_id:
        yield passed(name, f"one {tokenizer.bos_token}, at the start")
    elif count == 1:
        yield failed(name, f"{tokenizer.bos_token} is not at the start: {start!r}", "Mend the chat template.")
    elif expects:
        yield failed(
            name,
            f"the tokenizer starts texts with {tokenizer.bos_token}, and the chat template leaves it out: {start!r}",
            "Begin the chat template with {{ bos_token }}.",
        )
    else:
        yield passed(name, f"neither tokenizer nor template use {tokenizer.bos_token}")


def header(renderer: Renderer) -> Iterator[Finding]:
    """A prompt ends with what opens an answer, and an answered conversation begins with the prompt."""
    name = "assistant header"
    bare, prompt = renderer.ids(USER), renderer.prompt_ids(QUESTION)
    whole = renderer.ids([*USER, {"role": "assistant", "content": ANSWER}])
    added = renderer.tokenizer.decode(prompt[len(bare) :])
    if prompt == bare:
        yield failed(
            name,
            "prompts end without one",
            "Have the chat template write the assistant's header where add_generation_prompt is set, or the model "
            "goes on with the user's turn.",
        )
    elif whole[: len(prompt)] != prompt:
        yield warned(
            name,
            f"an answered conversation does not begin with the prompt, which ends {added!r}",
            "The template writes more into a prompt (a chain of thought?) than before an answer; see that sampled "
            "answers are what they should be.",
        )
    else:
        yield passed(name, f"prompts end with {added!r}")


def end_of_turn(renderer: Renderer) -> Iterator[Finding]:
    """A single token that the template puts behind answers."""
    name, tokenizer = "end of turn", renderer.tokenizer
    id = renderer.end_of_turn_id
    token = tokenizer.convert_ids_to_tokens(id)
    if tokenizer.encode(token, add_special_tokens=False) != [id]:
        yield failed(name, f"{token} is not one token as text", "Add it to the tokenizer as a special token.")
    elif id not in renderer.ids_after_content():
        yield warned(
            name,
            f"the chat template does not put {token} behind an answer",
            "Give the token that ends the model's turns as model.loader.end_of_turn.",
        )
    else:
        yield passed(name, f"{token} ({id}), as the chat template has it")


def padding(renderer: Renderer) -> Iterator[Finding]:
    """The pad token, and whether it hides the end of a turn from those who mask by it."""
    tokenizer = renderer.tokenizer
    if tokenizer.pad_token_id in renderer.stop_ids:
        yield warned(
            "padding",
            f"the pad token is the end token {tokenizer.pad_token}",
            "Masks go by position here, so the end of a turn is trained on; other tools may mask it out.",
        )
    else:
        yield passed("padding", f"{tokenizer.pad_token}, which ends no turn")
