"""The log-prob engine: the only place that turns logits into log-probs.

`lay_out` turns (prompt, response) id lists into one batch of rows, `token_logps` runs the model over it and returns the
float32 log-prob of each response token, `sequence_sums` adds them up in float64. `score` does all three for many
sequences, without gradient, in length-sorted batches of a token budget.
"""

from icr.logps.engine import sequence_sums, token_logps
from icr.logps.layout import TokenLayout, lay_out
from icr.logps.scoring import NonFiniteLogpError, score

__all__ = ["NonFiniteLogpError", "TokenLayout", "lay_out", "score", "sequence_sums", "token_logps"]
