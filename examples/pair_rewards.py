"""From a table of rewards to preference pairs: length control, then the best and the worst of each prompt.

The rewards are made up so that longer answers score higher. Length control finds the penalty per token at which chosen
and rejected answers are equally long on average, and the pairs are chosen with it.
"""

import math

from icr import BestWorst, LengthControl, ScoredResponse, choose_pairs

TABLE = {  # prompt → (reward in nats, tokens) of each answer
    "p0": [(0.9, 40), (0.6, 22), (0.2, 20), (0.1, 35)],
    "p1": [(1.2, 60), (0.8, 30), (0.3, 15)],
    "p2": [(0.5, 25), (0.4, 12), (-0.3, 18)],
}


def scored() -> list[ScoredResponse]:
    """The table as the rows of a run's `rewards.parquet`; log-probs are not known here, and not looked at."""
    return [
        ScoredResponse(id, "sw", k, reward, math.nan, math.nan, tokens, characters=5 * tokens, bytes=5 * tokens)
        for id, answers in TABLE.items()
        for k, (reward, tokens) in enumerate(answers)
    ]


if __name__ == "__main__":
    made = choose_pairs(scored(), BestWorst(), LengthControl(unit="tokens"))
    control = made.length_control["sw"]
    print(f"penalty {control.alpha:.4f} nats per token")
    print(f"chosen is {control.bias_before:+.1f} tokens longer without it, {control.bias_after:+.1f} with it")
    for pair in made.pairs:
        (chosen, longer), (rejected, shorter) = TABLE[pair.id][pair.chosen_k], TABLE[pair.id][pair.rejected_k]
        print(f"{pair.id}: answer {pair.chosen_k} ({chosen:+.1f}, {longer} tokens) over ", end="")
        print(f"answer {pair.rejected_k} ({rejected:+.1f}, {shorter} tokens)")
