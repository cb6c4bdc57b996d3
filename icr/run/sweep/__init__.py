"""Many runs of one command: planned, each in a process of its own, and shown side by side in the end.

sweepers.py   what Hydra calls with the command's arguments: all combinations of the values
search.py     the same, for trials that Optuna proposes one after another
plan.py       the jobs, before they run; the table and the page, after them
attempt.py    one job, in the process of Hydra's launcher
apart.py      ... which starts another one for it
alone.py      ... whose program this is
"""
