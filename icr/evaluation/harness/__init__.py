"""The benchmark of lm-evaluation-harness's tasks.

benchmark.py     its settings, and how models are measured
tasks.py         which tasks stand for a benchmark in each language
harness.py       what the harness is asked for, and what it answers
differences.py   differences between models on its documents
"""
