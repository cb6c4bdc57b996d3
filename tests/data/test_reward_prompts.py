"""What responses are scored under, to the character."""

from __future__ import annotations

import pytest

from icr.data.reward_prompts import CrosslingualPrompt, MultilingualPrompt, TranslatePrompt
from icr.types import Prompt, Response, Translation

AUTHORS = (
    "Please answer the following instruction using only {language}, unless explicitly instructed to respond in a "
    "different language.\n\n{instruction}"
)
NAMES = {"en": "English", "sw": "Swahili"}
ENGLISH = Prompt("a", "en", "Name a river.", "Name a river.")
SWAHILI = Prompt("a", "sw", "Taja mto.", "Name a river.")


def response(language: str, ids: list[int], k: int = 0) -> Response:
    return Response("a", language, k, [1], ids, f"jibu {k}", "stop")


@pytest.fixture
def policy(loaded, shared_model):
    return loaded(shared_model("llama"))


def test_crosslingual_asks_for_an_answer_in_the_target_language():
    assert CrosslingualPrompt(AUTHORS, NAMES).text(SWAHILI) == (
        "Please answer the following instruction using only Swahili, unless explicitly instructed to respond in a "
        "different language.\n\nName a river."
    )


def test_english_has_no_prefix():
    assert CrosslingualPrompt(AUTHORS, NAMES).text(ENGLISH) == "Name a river."


def test_wording_is_free_and_braces_of_instructions_stay():
    prompt = Prompt("a", "sw", "x", "Complete {language} in {instruction}: f'{x}'")
    wording = CrosslingualPrompt("[{language}] {instruction} [{language}]", NAMES)
    assert wording.text(prompt) == "[Swahili] Complete {language} in {instruction}: f'{x}' [Swahili]"


def test_wording_needs_a_place_for_the_instruction():
    with pytest.raises(ValueError, match=r"template must contain \{instruction\}"):
        CrosslingualPrompt("Answer in {language}.", NAMES)


def test_multilingual_is_the_prompt_itself():
    assert MultilingualPrompt().text(SWAHILI) == "Taja mto."


@pytest.mark.parametrize("prompt", [CrosslingualPrompt(AUTHORS, NAMES), MultilingualPrompt()])
def test_the_sampled_ids_are_scored_as_they_are(prompt, policy):
    sampled = [response("sw", [9, 9, 2]), response("en", [7, 2]), response("sw", [8], k=1)]
    sequences = prompt.sequences(sampled, {("a", "en"): ENGLISH, ("a", "sw"): SWAHILI}, policy)
    assert [ids for _, ids in sequences] == [[9, 9, 2], [7, 2], [8]]
    render = policy.renderer.prompt_ids
    assert [ids for ids, _ in sequences] == [render(prompt.text(p)) for p in (SWAHILI, ENGLISH, SWAHILI)]


def test_translations_take_the_place_of_responses_that_are_not_english(policy):
    asked = []

    def translator(responses, prompts, given):
        asked.extend((r.language, r.k) for r in responses)
        assert given is policy
        return [Translation(f"answer {r.k}") for r in responses]

    sampled = [response("sw", [9, 2], 0), response("en", [7, 2]), response("sw", [8, 2], 1)]
    prompts = {("a", "en"): ENGLISH, ("a", "sw"): SWAHILI}
    sequences = TranslatePrompt(translator).sequences(sampled, prompts, policy)
    assert asked == [("sw", 0), ("sw", 1)]
    assert sequences[1][1] == [7, 2]
    assert [policy.renderer.text(ids) for _, ids in sequences[::2]] == ["answer 0", "answer 1"]
    assert all(ids[-1] == policy.renderer.end_of_turn_id for _, ids in sequences)
    assert all(ids == policy.renderer.prompt_ids("Name a river.") for ids, _ in sequences)
