"""From messages to token ids: the chat template's one and only user."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from transformers import PreTrainedTokenizerBase

from icr.errors import ModelError


@dataclass
class Renderer:
    """Renders prompts and responses of one tokenizer, and knows how its turns end.

    Prompt and response are separate id lists: they are never tokenised together, and the begin-of-sequence token comes
    from the template alone.

    Attributes:
        tokenizer: with a chat template.
        end_of_turn: the token that ends an assistant turn; empty takes the one that the chat template puts there.
        end_of_turn_id: its id.
        stop_ids: ids at which sampling stops: the end of turn and the tokenizer's end of sequence.
    """

    tokenizer: PreTrainedTokenizerBase
    end_of_turn: str = ""
    end_of_turn_id: int = field(init=False)
    stop_ids: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        if self.end_of_turn:
            id = self.tokenizer.convert_tokens_to_ids(self.end_of_turn)
            if not isinstance(id, int) or id == self.tokenizer.unk_token_id:
                raise ModelError(f"model.loader.end_of_turn: the tokenizer has no token {self.end_of_turn!r}.")
            self.end_of_turn_id = id
        else:
            self.end_of_turn_id = self._template_end_of_turn()
        self.stop_ids = frozenset({self.end_of_turn_id, self.tokenizer.eos_token_id})

    def prompt_ids(self, instruction: str) -> list[int]:
        """Token ids of a single user turn with the generation header, as the chat template renders it."""
        return self.ids([{"role": "user", "content": instruction}], add_generation_prompt=True)

    def response_ids(self, text: str) -> list[int]:
        """Token ids of an answer written by hand, with its end-of-turn token. Sampled answers keep their own ids."""
        return [*self.tokenizer.encode(text, add_special_tokens=False), self.end_of_turn_id]

    def text(self, response_ids: list[int]) -> str:
        """The answer without special tokens and surrounding white space."""
        return str(self.tokenizer.decode(response_ids, skip_special_tokens=True)).strip()

    def ids(self, messages: list[dict[str, str]], *, add_generation_prompt: bool = False) -> list[int]:
        """Token ids of a conversation, as the chat template renders it, with or without the next turn's header."""
        ids = self.tokenizer.apply_chat_template(
            messages, tokenize=True, return_dict=False, add_generation_prompt=add_generation_prompt
        )
        return cast("list[int]", ids)

    def _template_end_of_turn(self) -> int:
        question = {"role": "user", "content": "a"}
        header = self.ids([question], add_generation_prompt=True)
        whole = self.ids([question, {"role": "assistant", "content": "a"}])
        follows = whole[: len(header)] == header  # Not where the header opens, say, a chain of thought.
        added = self.tokenizer.added_tokens_decoder.items()  # Llama 3's <|eot_id|> is among no named special tokens.
        special = {*self.tokenizer.all_special_ids, *(id for id, token in added if token.special)}
        ends = [id for id in (whole[len(header) :] if follows else whole) if id in special]
        return ends[0 if follows else -1] if ends else self.tokenizer.eos_token_id
