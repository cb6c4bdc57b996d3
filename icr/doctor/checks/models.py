"""The weights, and what they do on samples: finite, different, learnt to stop, and the same score in any batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from icr.config import Settings
from icr.doctor.findings import Finding, failed, passed, warned
from icr.doctor.settings import DoctorSettings
from icr.logps import score
from icr.models import LoadedModel
from icr.models.finite import not_finite
from icr.rewards.implicit import implicit_reward
from icr.rounds import ImplicitReward
from icr.sampling import TransformersSampler
from icr.types import Prompt, Response

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-5}
"""Largest mean difference of a token's log-prob between batches, in nats; of 16-bit weights, `LOOSE`."""
LOOSE = 0.05
LIKELY = 0.01
"""Probability that a model that has learnt to end its turns gives the end at the end of a short answer, at least."""
ANSWERS = 2
"""Samples per prompt."""


@dataclass(frozen=True)
class Scored:
    """Samples as one model of the pair scores them.

    Attributes:
        alone: log-probs with each sequence by itself, an array per sequence, in nats.
        together: the same in shared batches.
        dtype: of the weights.
    """

    alone: list[np.ndarray]
    together: list[np.ndarray]
    dtype: torch.dtype


def weights(loaded: LoadedModel, role: str) -> Iterator[Finding]:
    """Finite numbers, and a row of the embedding for every token."""
    name = f"{role}'s weights"
    broken = not_finite(loaded.model)
    rows = loaded.model.get_input_embeddings().get_parameter("weight").shape[0]
    tokens = len(loaded.renderer.tokenizer)
    count = sum(parameter.numel() for parameter in loaded.model.parameters())
    if broken:
        seen = f"{len(broken)} hold NaN or infinity, such as {broken[0]}"
        yield failed(name, seen, f"Get {loaded.path} anew, or load it in float32 or bfloat16.")
    elif rows < tokens:
        seen = f"{rows} rows in the embedding for {tokens} tokens"
        yield failed(name, seen, "The tokenizer is another model's, or tokens were added without resizing the model.")
    else:
        dtype = str(loaded.model.dtype).removeprefix("torch.")
        yield passed(name, f"{count / 1e6:,.1f} M parameters, {dtype}, finite; {rows} rows for {tokens} tokens")


def sampled(
    loaded: LoadedModel, prompts: Sequence[Prompt], settings: Settings, doctor: DoctorSettings
) -> list[Response]:
    """A few answers to each prompt, as the run would sample them, but shorter."""
    own = settings.sampling
    sampler = TransformersSampler(
        n=ANSWERS,
        temperature=own.temperature,
        top_p=own.top_p,
        top_k=own.top_k,
        max_new_tokens=min(doctor.sample_tokens, own.max_new_tokens),
        tokens_per_batch=settings.scoring.tokens_per_batch,
    )
    return sampler.sample(loaded, prompts, (settings.seed, "doctor"))


def end_learnt(loaded: LoadedModel, responses: Sequence[Response]) -> Iterator[Finding]:
    """The policy ends its answers: seen in samples, or else after a short finished answer."""
    name, renderer = "end of turn learnt", loaded.renderer
    token = renderer.tokenizer.convert_ids_to_tokens(renderer.end_of_turn_id)
    ended = [response for response in responses if response.response_ids[-1] == renderer.end_of_turn_id]
    others = sum(response.finish_reason == "stop" for response in responses) - len(ended)
    seen = f"{len(ended)} of {len(responses)} sampled answers end with {token}"
    if others > len(ended):
        end = renderer.tokenizer.eos_token
        yield failed(name, f"{seen}, {others} with {end}", f"Set \"model.loader.end_of_turn='{end}'\".")
        return
    if ended:
        yield passed(name, seen)
        return
    prompt = renderer.prompt_ids("Answer with one word: what is the capital of France?")
    (values,) = score(loaded.model, [(prompt, renderer.response_ids("Paris"))], tokens_per_batch=4096)
    probability = float(np.exp(values[-1]))
    limit = max(len(response.response_ids) for response in responses)
    seen = (
        f"none of {len(responses)} samples ended within {limit} tokens; after a one-word answer P({token}) = "
        f"{probability:.2g}"
    )
    if probability >= LIKELY:
        yield passed(name, seen)
    else:
        yield failed(
            name,
            seen,
            "Responses would run to the length limit and be of no use. Train the model with its end token (the SFT "
            "stage here does), or name the one it has learnt as model.loader.end_of_turn.",
        )


def scored(loaded: LoadedModel, responses: Sequence[Response]) -> Scored:
    """Each sample by itself, and all of them in batches that share prompts."""
    sequences = [(response.prompt_ids, response.response_ids) for response in responses]
    budget = 4 * max(len(prompt) + ANSWERS * len(answer) for prompt, answer in sequences)
    alone = [score(loaded.model, [sequence], tokens_per_batch=budget)[0] for sequence in sequences]
    return Scored(alone, score(loaded.model, sequences, tokens_per_batch=budget), loaded.model.dtype)


def batches(result: Scored, role: str) -> Iterator[Finding]:
    """The score of a response does not depend on what it is scored with."""
    differences = np.concatenate([np.abs(a - b) for a, b in zip(result.alone, result.together, strict=True)])
    mean, worst = float(differences.mean()), float(differences.max())
    name = f"{role}'s scores"
    dtype = str(result.dtype).removeprefix("torch.")
    seen = f"alone and in batches differ by {mean:.1e} nats per token (at most {worst:.1e}), {dtype}"
    if mean <= TOLERANCE.get(result.dtype, LOOSE):
        yield passed(name, seen)
    elif result.dtype in TOLERANCE:
        yield failed(
            name, seen, "Something in the model looks across its batch; try model.loader.attn_implementation=eager."
        )
    else:
        yield warned(name, seen, "Rounding alone does less; compare with model.loader.dtype=float32.")


def rewards(policy: Scored, reference: Scored, reward: ImplicitReward) -> Iterator[Finding]:
    """The pair tells answers apart."""
    both = zip(policy.alone, reference.alone, strict=True)
    values = [implicit_reward(a, b, beta=reward.beta, token_clip=reward.token_clip) for a, b in both]
    if not any(values):
        yield failed(
            "rewards",
            "all exactly zero: policy and reference are the same model",
            "Give as reward_pair.reference the model that the aligned one was trained from.",
        )
    else:
        seen = (
            f"{np.mean(values):.3f} nats on average over {len(values)} samples, standard deviation {np.std(values):.3f}"
        )
        yield passed("rewards", seen)


def few(prompts: Sequence[Prompt], languages: Sequence[str], count: int) -> list[Prompt]:
    """The shortest prompts, language by language in turn: `count` of them."""
    queues = [sorted((p for p in prompts if p.language == code), key=lambda p: len(p.text)) for code in languages]
    turns = [queue[place] for place in range(count) for queue in queues if place < len(queue)]
    return turns[:count]
