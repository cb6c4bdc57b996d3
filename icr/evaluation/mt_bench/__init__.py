"""The benchmark of MT-Bench, in many languages.

benchmark.py   its settings, and how models are measured
files.py       questions and reference answers
answers.py     models answer two turns
grading.py     what a grader reads, and how its number is understood
grades.py      grades, and figures of them
"""
