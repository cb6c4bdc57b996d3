"""Does a reward order answers, and is it more than length or likelihood? Figures, and what they amount to.

samples.py    scored responses as arrays; comparisons of two responses to one prompt
shares.py     shares of comparisons with intervals over prompts, and paired differences
accuracy.py   reward accuracy beside baselines that need no reward
own.py        figures of own samples, without labels
verdict.py    go, caution, no-go, and the limits between them
reasons.py    which figure passed which limit, in words
settings.py   the config group
stage.py      figures of own samples as a stage of each round
"""
