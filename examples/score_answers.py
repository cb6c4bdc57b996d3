"""Scores two answers with a reward pair: what an aligned model prefers over the model that it was aligned from.

The answers are Swahili, and are scored under the English instruction, as the method does. The models are the embedded
world's, which are shipped with the package; any aligned model and its SFT model take their places.
"""

from icr import CrosslingualPrompt, Loader, Prompt, implicit_reward, score
from icr.pocket import PocketPrompts, PocketReferences
from icr.pocket.assets import folder

BETA = 0.1

loader = Loader()
policy, reference = (loader.load(str(folder(name))) for name in ("dpo_en", "sft"))
crosslingual = CrosslingualPrompt("Please answer using only {language}.\n\n{instruction}", {"sw": "Swahili"})


def reward(prompt: Prompt, answer: str) -> float:
    """`β · Σ_t [log π_0(y_t) − log π_I(y_t)]` of the answer, end-of-turn token included, in nats."""
    renderer = policy.renderer
    sequence = renderer.prompt_ids(crosslingual.text(prompt)), renderer.response_ids(answer)
    own, others = (score(side.model, [sequence], tokens_per_batch=4096)[0] for side in (policy, reference))
    return implicit_reward(own, others, beta=BETA)


if __name__ == "__main__":
    prompt = PocketPrompts(3).prompts(["sw"], "test").prompts[2]
    (good,) = PocketReferences().answers([prompt]).values()
    bad = " ".join(good.split()[:3])
    print(f"prompt   {prompt.text}\nEnglish  {prompt.english}\n")
    for answer in (good, bad):
        print(f"{reward(prompt, answer):+.3f}  {answer}")
