"""The log-prob engine: the only place that turns logits into log-probs.

`lay_out` turns (prompt, response) id lists into one batch of rows, in which the responses to one prompt share it;
`token_logps` runs the model over it and returns the float32 log-prob of each response token, `sequence_sums` adds them
up in float64. `score` does all three for many sequences, without gradient, in length-sorted batches of a token budget.
"""

from icr.logps.attention import joins_rows, shares_prompts
from icr.logps.engine import head_sums, sequence_sums, token_logps
from icr.logps.layout import MAX_ROW, IdPair, TokenLayout, lay_out, rows_by_prompt
from icr.logps.products import quick_products
from icr.logps.scoring import NonFiniteLogpError, score
from icr.logps.trial import Ways
from icr.logps.ways import require_calm_training, settle, ways_of

__all__ = [
    "MAX_ROW",
    "IdPair",
    "NonFiniteLogpError",
    "TokenLayout",
    "Ways",
    "head_sums",
    "joins_rows",
    "lay_out",
    "quick_products",
    "require_calm_training",
    "rows_by_prompt",
    "score",
    "sequence_sums",
    "settle",
    "shares_prompts",
    "token_logps",
    "ways_of",
]
