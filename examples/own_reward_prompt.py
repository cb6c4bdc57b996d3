r"""A reward prompt of one's own: the request for the language comes after the English instruction, not before it.

A reward prompt says under which text a response is scored, and as which tokens (`icr.data.RewardPrompt`). In a run it
is named by its path, here on the keys of `reward_prompt=crosslingual` but for the template:

    PYTHONPATH=examples icr run reward_prompt=crosslingual reward_prompt._target_=own_reward_prompt.LanguageLast \
        '~reward_prompt.template'
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from icr import Loader, Prompt, Response
from icr.models import LoadedModel
from icr.pocket import PocketPrompts
from icr.pocket.assets import folder


@dataclass(frozen=True)
class LanguageLast:
    """The reward of `y` under `x_en` and a sentence that names the language."""

    language_names: Mapping[str, str]
    """English name of each language code."""
    name = "language_last"

    def text(self, prompt: Prompt) -> str:
        """What the response is scored under."""
        return f"{prompt.english} Please answer using only {self.language_names[prompt.language]}."

    def sequences(
        self, responses: Sequence[Response], prompts: Mapping[tuple[str, str], Prompt], policy: LoadedModel
    ) -> list[tuple[list[int], list[int]]]:
        """`(prompt_ids, response_ids)` to score, one per response: the responses keep the ids that were sampled."""
        rendered = {key: policy.renderer.prompt_ids(self.text(prompt)) for key, prompt in prompts.items()}
        return [(rendered[response.id, response.language], response.response_ids) for response in responses]


if __name__ == "__main__":
    policy = Loader().load(str(folder("dpo_en")))
    prompt = PocketPrompts(1).prompts(["de"], "test").prompts[0]
    answered, ids = policy.renderer.prompt_ids(prompt.text), policy.renderer.response_ids("Uhr, Tasse")
    response = Response(prompt.id, "de", 0, answered, ids, "Uhr, Tasse", "stop")
    reward_prompt = LanguageLast({"de": "German"})
    ((scored_under, scored),) = reward_prompt.sequences([response], {(prompt.id, "de"): prompt}, policy)
    assert scored == ids
    print(f"answered      {prompt.text}")
    print(f"scored under  {policy.renderer.tokenizer.decode(scored_under)}")
