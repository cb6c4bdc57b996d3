"""The benchmark of labelled preferences: does a model itself find the better answer likelier than its base did?

benchmark.py   its settings, and how models are measured
logps.py       log-probs of both answers: a stage of each model, and of the base
figures.py     log-probs → figures of each model by language, and differences between models
"""
