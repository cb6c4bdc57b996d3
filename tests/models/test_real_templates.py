"""The end of a turn in the chat templates of published models.

Those that TRL ships, as the models' authors published them, are read from the installed package (a pinned dependency of
the tests). The others are the formats that their documentation describes, in a line or two of our own.
"""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from icr.models.rendering import Renderer

TRL = Path(str(distribution("trl").locate_file("trl/chat_templates")))

# The assistant's header comes at the end of every conversation, asked for or not.
COMMAND_R7B = (
    "{{ bos_token }}{% for m in messages %}<|START_OF_TURN_TOKEN|>"
    "{% if m.role == 'user' %}<|USER_TOKEN|>{{ m.content }}"
    "{% else %}<|CHATBOT_TOKEN|><|START_RESPONSE|>{{ m.content }}<|END_RESPONSE|>{% endif %}<|END_OF_TURN_TOKEN|>\n"
    "{% endfor %}<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"
)
MISTRAL_V03 = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'user' %}[INST] {{ m.content }}[/INST]{% else %} {{ m.content }}{{ eos_token }}{% endif %}"
    "{% endfor %}"
)
MISTRAL_NEMO = MISTRAL_V03.replace("[INST] ", "[INST]").replace("%} {{", "%}{{")
ZEPHYR = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)

TEMPLATES = {
    "Llama 3": ("llama3", "<|begin_of_text|> <|start_header_id|> <|end_header_id|> <|eot_id|>", "<|end_of_text|>"),
    "Qwen 2.5": ("qwen2_5", "<|im_start|> <|im_end|>", "<|im_end|>"),
    "Qwen 3": ("qwen3", "<|im_start|> <|im_end|> <think> </think>", "<|im_end|>"),
    "Qwen 3.5, thinking": ("qwen3_5_think", "<|im_start|> <|im_end|> <think> </think>", "<|endoftext|>"),
    "Gemma": ("gemma", "<bos> <start_of_turn> <end_of_turn>", "<eos>"),
    "Gemma 3": ("gemma3", "<bos> <start_of_turn> <end_of_turn>", "<eos>"),
    "Command R": (
        "cohere",
        "<BOS_TOKEN> <|START_OF_TURN_TOKEN|> <|USER_TOKEN|> <|CHATBOT_TOKEN|> <|SYSTEM_TOKEN|>",
        "<|END_OF_TURN_TOKEN|>",
    ),
    "Aya, of Cohere's second format": (
        "cohere2",
        "<BOS_TOKEN> <|START_OF_TURN_TOKEN|> <|USER_TOKEN|> <|CHATBOT_TOKEN|> <|START_RESPONSE|> <|END_RESPONSE|>",
        "<|END_OF_TURN_TOKEN|>",
    ),
    "Command R7B": (
        COMMAND_R7B,
        "<BOS_TOKEN> <|START_OF_TURN_TOKEN|> <|USER_TOKEN|> <|CHATBOT_TOKEN|> <|START_RESPONSE|> <|END_RESPONSE|>",
        "<|END_OF_TURN_TOKEN|>",
    ),
    "gpt-oss": ("gptoss", "<|start|> <|channel|> <|message|> <|end|> <|call|>", "<|return|>"),
    "DeepSeek V3": ("deepseekv3", "<｜User｜> <｜Assistant｜>", "<｜end▁of▁sentence｜>"),
    "DeepSeek R1": ("deepseek_r1_distill", "<｜User｜> <｜Assistant｜> <think> </think>", "<｜end▁of▁sentence｜>"),
    "Phi 3.5": ("phi3_5", "<|user|> <|assistant|> <|end|>", "<|endoftext|>"),
    "Mistral v0.3": (MISTRAL_V03, "<s> [INST] [/INST]", "</s>"),
    "Mistral Nemo": (MISTRAL_NEMO, "<s> [INST] [/INST]", "</s>"),
    "Zephyr": (ZEPHYR, "<s>", "</s>"),
}
"""Model: its template, its special tokens, and its end of sequence."""

ENDS = {
    "Llama 3": "<|eot_id|>",
    "Qwen 2.5": "<|im_end|>",
    "Qwen 3": "<|im_end|>",
    "Qwen 3.5, thinking": "<|im_end|>",
    "Gemma": "<end_of_turn>",
    "Gemma 3": "<end_of_turn>",
    "Command R": "<|END_OF_TURN_TOKEN|>",
    "Aya, of Cohere's second format": "<|END_RESPONSE|>",
    "Command R7B": "<|END_RESPONSE|>",
    "gpt-oss": "<|return|>",
    "DeepSeek V3": "<｜end▁of▁sentence｜>",
    "DeepSeek R1": "<｜end▁of▁sentence｜>",
    "Phi 3.5": "<|end|>",
    "Mistral v0.3": "</s>",
    "Mistral Nemo": "</s>",
    "Zephyr": "</s>",
}


def renderer_of(model: str) -> Renderer:
    """Bytes, and the model's special tokens; `<think>` is an added token that is not special, as in its tokenizers."""
    template, special, end = TEMPLATES[model]
    names = [*special.split(), end, "<pad>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: id for id, token in enumerate(dict.fromkeys([*names, *alphabet]))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    thought = {"<think>", "</think>"}
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in names if name not in thought])
    tokenizer.add_tokens([AddedToken(name, special=False) for name in names if name in thought])
    text = template if "{" in template else (TRL / f"{template}.jinja").read_text(encoding="utf-8")
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token=names[0], eos_token=end, chat_template=text
    )
    return Renderer(made)


@pytest.mark.parametrize("model", TEMPLATES)
def test_the_end_of_turn_is_the_first_special_token_after_the_content(model):
    renderer = renderer_of(model)
    assert renderer.tokenizer.convert_ids_to_tokens(renderer.end_of_turn_id) == ENDS[model]
    assert renderer.stop_ids == {renderer.end_of_turn_id, renderer.tokenizer.eos_token_id}


@pytest.mark.parametrize("model", TEMPLATES)
def test_what_the_template_writes_for_an_answer_is_cut_where_its_content_ends(model):
    """Between the opened answer and its end of turn lies the content, with nothing of the template behind it."""
    renderer = renderer_of(model)
    answered = renderer.ids([{"role": "user", "content": "q"}, {"role": "assistant", "content": "An answer."}])
    content = renderer.tokenizer.encode("An answer.", add_special_tokens=False)
    starts = [i for i in range(len(answered)) if answered[i : i + len(content)] == content]
    end = starts[-1] + len(content)
    assert answered[end] == renderer.end_of_turn_id
    assert renderer.ids_after_content() == answered[end:]


def test_gpt_oss_generates_its_end_and_closes_earlier_turns_otherwise():
    """`<|return|>` ends a generation; `<|end|>` is what it becomes in the turns before."""
    renderer = renderer_of("gpt-oss")
    turns = [{"role": r, "content": c} for r, c in [("user", "q"), ("assistant", "first"), ("user", "p")]]
    earlier = renderer.tokenizer.decode(renderer.ids(turns))
    assert "first<|end|>" in earlier
    assert "<|return|>" not in earlier
