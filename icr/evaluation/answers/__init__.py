"""The benchmark of answers alone, without a judge: their language, loops, lengths, ends and variety, and the texts.

benchmark.py   its settings, and how models are measured
described.py   each answer with what is seen of it: a stage of each model
figures.py     described answers → figures of each model by language
"""
