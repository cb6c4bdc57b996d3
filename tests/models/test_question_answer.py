"""The chat template for base models that the package ships, and templates that are files."""

from __future__ import annotations

from importlib.resources import files

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from icr.errors import ModelError
from icr.keys import loading
from icr.models import Loader
from icr.models.rendering import Renderer
from icr.rounds import ModelReward
from icr.rundir import fingerprint

FILE = str(files("icr.models") / "templates/question_answer.jinja")
TURNS = [
    {"role": "user", "content": "Name a river."},
    {"role": "assistant", "content": "The Nile."},
    {"role": "user", "content": "And one in Asia?"},
]
SYSTEM = {"role": "system", "content": "Answers of a geographer."}


@pytest.fixture
def renderer(make_tokenizer):
    """`renderer(bos_token="<bos>")`: of the byte tokenizer with this template."""

    def make(**special) -> Renderer:
        tokenizer = make_tokenizer()
        for name, token in special.items():
            setattr(tokenizer, name, token)
        tokenizer.chat_template = Loader(chat_template=FILE).chat_template
        return Renderer(tokenizer)

    return make


def text(renderer: Renderer, turns: list[dict[str, str]], **options: bool) -> str:
    return renderer.tokenizer.decode(renderer.ids(turns, **options))


def test_questions_and_answers_are_plain_text(renderer):
    rendered = text(renderer(), TURNS, add_generation_prompt=True)
    assert rendered == (
        "<bos>Question: Name a river.\nAnswer:\nThe Nile.<eos>\n\nQuestion: And one in Asia?\nAnswer:\n"
    )
    assert text(renderer(), TURNS[:2]) == "<bos>Question: Name a river.\nAnswer:\nThe Nile.<eos>"
    assert text(renderer(), [SYSTEM, *TURNS[:1]]) == "<bos>Answers of a geographer.\n\nQuestion: Name a river."


def test_without_a_begin_of_sequence_there_is_none(renderer):
    assert text(renderer(bos_token=None), TURNS[:1]) == "Question: Name a river."


def test_an_answer_ends_with_the_end_of_sequence_whatever_came_before(renderer):
    made = renderer()
    assert made.end_of_turn_id == made.tokenizer.eos_token_id
    assert made.ids_after_content() == [made.tokenizer.eos_token_id]
    assert made.stop_ids == {made.tokenizer.eos_token_id}
    prompt = made.prompt_ids("Name a river.")
    assert made.ids(TURNS[:2]) == prompt + made.response_ids("The Nile.")
    again = made.prompt_ids("And one in Asia?", ["Name a river.", "The Nile."])
    assert again == made.ids(TURNS, add_generation_prompt=True)


@pytest.mark.parametrize("turns", [[TURNS[0], SYSTEM], [{"role": "tool", "content": "1"}]])
def test_other_turns_are_refused(turns, renderer):
    with pytest.raises(ModelError, match=r"system turn before all, and not: (system|tool)"):
        renderer().ids(turns)


def test_the_content_of_a_file_counts_and_not_its_name(tmp_path):
    copy = tmp_path / "mine.jinja"
    copy.write_text(Loader(chat_template=FILE).chat_template, encoding="utf-8")
    shipped, own = Loader(chat_template=FILE), Loader(chat_template=str(copy))
    assert fingerprint.of_object(loading(shipped)) == fingerprint.of_object(loading(own))
    assert own == Loader(chat_template=own.chat_template)
    copy.write_text("{{ messages[0].content }}", encoding="utf-8")
    assert Loader(chat_template=str(copy)).chat_template == "{{ messages[0].content }}"
    assert ModelReward("x", chat_template=str(copy)).chat_template == "{{ messages[0].content }}"
    assert fingerprint.of_object(loading(Loader(chat_template=str(copy)))) != fingerprint.of_object(loading(shipped))


def test_text_is_no_name_of_a_file():
    assert Loader(chat_template="{# a.jinja #}x.jinja").chat_template == "{# a.jinja #}x.jinja"
    assert Loader().chat_template == ""


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_bytes(b"\xff")])
def test_a_file_that_cannot_be_read(make, tmp_path):
    make(tmp_path / "x.jinja")
    with pytest.raises(ValueError, match=r"^chat_template is the file .*x\.jinja, which cannot be read: "):
        Loader(chat_template=str(tmp_path / "x.jinja"))


def test_a_saved_model_answers_in_this_format_by_plain_transformers(model_folder, tmp_path):
    Loader(chat_template=FILE).load(str(model_folder())).save(tmp_path)
    tokenizer, model = AutoTokenizer.from_pretrained(tmp_path), AutoModelForCausalLM.from_pretrained(tmp_path)
    prompt = tokenizer.apply_chat_template(TURNS[:1], add_generation_prompt=True, tokenize=False)
    assert prompt == "<bos>Question: Name a river.\nAnswer:\n"
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
