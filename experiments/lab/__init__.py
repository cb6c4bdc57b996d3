"""What all experiments share: claims as files, arms as sweeps over seeds, paired differences, pictures and tables.

claim.py        a claim: its arms, and what should be better than what
worlds.py       starting models of each seed, in each of the embedded world's variants
arms.py         one arm as one sweep over seeds, and its results
statistics.py   paired differences over seeds, and what they say about a claim
plot.py, page.py  the picture and the README of a claim, and the table of all
"""
