"""Tokenizer and configuration of the model: a Llama of 0.35 million parameters whose tokens are the words of the world.

The tokenizer marks the start of a word with `▁`, as SentencePiece does, and matches the longest known piece first, so
that Thai, which writes no spaces, and suffixes, as in Bengali `Max-এর`, are split into words as well.
"""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, PreTrainedTokenizerFast

from icr.pocket.demonstrations import REWARD_PROMPT
from icr.pocket.lexicon import Language, languages
from icr.pocket.specs import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

PAD, BOS, EOS, UNK, USER, ASSISTANT = SPECIAL = ("<pad>", "<s>", "<end>", "<unk>", "<user>", "<assistant>")

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ '<user>' if message.role == 'user' else '<assistant>' }}"
    "{{ message.content }}"
    "{{ eos_token }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)

_SPACE = "▁"
_JOINT = "\x1f"  # in no text: marks where words meet without a space


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer, whose vocabulary is every word and punctuation mark of the lexicon, in its order."""
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys([*SPECIAL, *_pieces()]))}
    tokenizer = Tokenizer(
        models.WordPiece(vocabulary, unk_token=UNK, continuing_subword_prefix="", max_input_chars_per_word=1000)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex("\n+"), "isolated"), pre_tokenizers.Metaspace(_SPACE, prepend_scheme="always")]
    )
    # A line break takes the place of the space that the word after it would begin with.
    undo = [(f"{_SPACE}\n", "\n"), (f"\n{_SPACE}", "\n"), (_SPACE, " ")]
    tokenizer.decoder = decoders.Sequence(
        [decoders.Fuse(), *(decoders.Replace(*pair) for pair in undo), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNK,
        additional_special_tokens=[USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        model_max_length=256,
        clean_up_tokenization_spaces=False,
    )


def build_config(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """The model's shape, with the tokenizer's special tokens."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=96,
        intermediate_size=192,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        architectures=["LlamaForCausalLM"],
        dtype="float32",
    )


def write_blank(folder: Path) -> None:
    """Writes tokenizer and `config.json`, from which `AutoModelForCausalLM.from_config` makes an untrained model."""
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(folder)
    build_config(tokenizer).save_pretrained(folder)


def _pieces() -> Iterator[str]:
    """Every token that the world's texts are made of, with repetitions."""
    yield from (f"{_SPACE}\n", f"{_SPACE}\n\n")
    for language in languages().values():
        for text in _texts(language):
            for chunk in filter(None, text.split("\n")):
                marked = (_SPACE + chunk).replace(" ", _JOINT + _SPACE).replace(f"{_SPACE}{_JOINT}", _SPACE)
                yield from filter(None, re.split(rf"{_JOINT}+|({_SPACE}?«|[.,:;!?।»])", marked))


def _texts(language: Language) -> Iterator[str]:
    """Texts that between them have every word of `language`, fields set off by joints."""
    yield REWARD_PROMPT.format(language=language.name, instruction="")
    for topic in language.topics.values():
        yield topic.heading
        yield language.separator.join(topic.words)
    yield language.filler
    yield from (language.closing.format(name=name) for name in _set_off(NAMES))
    nouns = _set_off(topic.noun for topic in language.topics.values())
    for templates, number, noun, name in product(
        language.prompts, _set_off(language.numbers.values()), nouns, _set_off(NAMES)
    ):
        yield from (template.format(number=number, topic=noun, name=name) for template in templates)


def _set_off(fields: Iterable[str]) -> list[str]:
    return [f"{_JOINT}{field}{_JOINT}" for field in fields]
