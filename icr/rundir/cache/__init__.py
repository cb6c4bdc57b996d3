"""Stages of earlier runs, by what they depend on: a run takes what another has made, and makes only what differs.

stages.py        whole stages: put, taken as hard links, checked
rows.py          tables of responses and rewards, of which fewer prompts or fewer responses are a part
claims.py        who makes a stage now, on this host or another
origin.py        what a stage depends on besides its key: code, libraries, device
"""
