"""From messages to token ids: the chat template's one and only user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import cycle, takewhile
from typing import cast

from transformers import PreTrainedTokenizerBase

from icr.errors import ModelError
from icr.models import template

QUESTION = {"role": "user", "content": "a"}
ANSWERS = ("one", "two")
"""Two answers that no template renders alike at their ends."""


@dataclass
class Renderer:
    """Renders prompts and responses of one tokenizer, and knows how its turns end.

    Prompt and response are separate id lists: they are never tokenised together, and the begin-of-sequence token comes
    from the template alone.

    Attributes:
        tokenizer: with a chat template.
        end_of_turn: the token that ends an assistant turn; empty takes the first special token that the chat template
            puts after the content of an answer, or the tokenizer's end of sequence where it puts none.
        source: of the chat template, as the subject of an error's sentence.
        end_of_turn_id: id of `end_of_turn`.
        stop_ids: ids at which sampling stops: the end of turn and the tokenizer's end of sequence.

    Raises:
        ModelError: the tokenizer lacks `end_of_turn`; or the chat template cannot render a conversation, by this or by
            any method.
    """

    tokenizer: PreTrainedTokenizerBase
    end_of_turn: str = ""
    source: str = "The chat template"
    end_of_turn_id: int = field(init=False)
    stop_ids: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        # A template that cannot render is refused here, before weights are loaded.
        self.prompt_ids(QUESTION["content"])
        if self.end_of_turn:
            id = self.tokenizer.convert_tokens_to_ids(self.end_of_turn)
            if not isinstance(id, int) or id == self.tokenizer.unk_token_id:
                raise ModelError(f"model.loader.end_of_turn: the tokenizer has no token {self.end_of_turn!r}.")
            self.end_of_turn_id = id
        else:
            ends = [id for id in self.ids_after_content() if id in self.special_ids]
            self.end_of_turn_id = ends[0] if ends else self.tokenizer.eos_token_id
        self.stop_ids = frozenset({self.end_of_turn_id, self.tokenizer.eos_token_id})

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Special tokens, named or not: Llama 3's `<|eot_id|>` is among no named ones."""
        added = self.tokenizer.added_tokens_decoder.items()
        return frozenset({*self.tokenizer.all_special_ids, *(id for id, token in added if token.special)})

    @cached_property
    def turn_ids(self) -> frozenset[int]:
        """Tokens that text must not hold: special ones, and added ones with which the template makes a prompt.

        The token for what is unknown is none of them: any text may hold a character that the tokenizer has not. Nor is
        white space, which Gemma has added tokens for.
        """
        marks = {id for id, token in self.tokenizer.added_tokens_decoder.items() if token.content.strip()}
        added = marks & {*self.prompt_ids(QUESTION["content"])}
        return (self.special_ids | added) - {self.tokenizer.unk_token_id}

    def has_turn_tokens(self, text: str) -> bool:
        """Whether the tokenizer takes a part of `text`, such as `<|eot_id|>`, for one of `turn_ids`."""
        return not self.turn_ids.isdisjoint(self.tokenizer.encode(text, add_special_tokens=False))

    def prompt_ids(self, instruction: str, earlier: Sequence[str] = ()) -> list[int]:
        """Token ids of a user's turn with the generation header, as the chat template renders it.

        Args:
            earlier: turns before it, the user's and the model's by turns, beginning with the user's.
        """
        roles = cycle(("user", "assistant"))
        turns = [{"role": role, "content": text} for text, role in zip((*earlier, instruction), roles, strict=False)]
        return self.ids(turns, add_generation_prompt=True)

    def response_ids(self, text: str) -> list[int]:
        """Token ids of an answer written by hand, with its end-of-turn token. Sampled answers keep their own ids."""
        return [*self.tokenizer.encode(text, add_special_tokens=False, verbose=False), self.end_of_turn_id]

    def text(self, response_ids: list[int]) -> str:
        """The answer without special tokens and surrounding white space."""
        return str(self.tokenizer.decode(response_ids, skip_special_tokens=True)).strip()

    def ids(self, messages: list[dict[str, str]], *, add_generation_prompt: bool = False) -> list[int]:
        """Token ids of a conversation, as the chat template renders it, with or without the next turn's header."""
        ids = template.guarded(
            lambda: self.tokenizer.apply_chat_template(
                messages, tokenize=True, return_dict=False, add_generation_prompt=add_generation_prompt
            ),
            self.source,
        )
        return cast("list[int]", ids)

    def ids_after_content(self) -> list[int]:
        """Token ids of what the chat template puts after the content of a conversation's last answer.

        It is what two conversations that differ in that answer alone have in common at their ends, whatever the
        template puts before the content, strips from it or wraps it in. Where it ends a last answer otherwise than an
        earlier one (gpt-oss: `<|return|>`, not `<|end|>`), that is how a generation ends.
        """
        one, two = (self._text([QUESTION, {"role": "assistant", "content": answer}]) for answer in ANSWERS)
        if one == two:
            return []  # The template leaves answers out.
        alike = takewhile(lambda letters: letters[0] == letters[1], zip(reversed(one), reversed(two), strict=False))
        ids = self.tokenizer.encode(one[len(one) - len(list(alike)) :], add_special_tokens=False)
        return cast("list[int]", ids)

    def _text(self, messages: list[dict[str, str]]) -> str:
        render = lambda: self.tokenizer.apply_chat_template(messages, tokenize=False)  # noqa: E731
        return str(template.guarded(render, self.source))
