"""Before a training is paid for: does the English pair's reward order answers in other languages?

scoring.py    rewards of labelled and of sampled answers under each reward prompt
examine.py    figures of both, and the verdict of each language
result.py     what was found
show.py       tables, on the terminal and for the page
plots.py      figures for the page
page.py       the page
"""
