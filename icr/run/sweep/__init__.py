"""Many runs of one command: planned, each in a process of its own, and shown side by side in the end.

sweeper.py    what our sweepers have from Hydra, which calls them with the command's arguments
sweepers.py   all combinations of the values; how Hydra comes to know our sweepers
search.py     trials that Optuna proposes one after another
space.py      the values that it may propose
plan.py       the jobs, before they run; the table and the page, after them
attempt.py    one job, in the process of Hydra's launcher
apart.py      the process that it starts for the job
alone.py      the program of that process
"""
