"""The embedded world: eight languages, a judge that cannot be argued with, and a model small enough for one CPU thread.

lexicon.py         the languages (data in languages/*.yaml) and the model's words
specs.py           which instructions there are, their ids and splits
prompts.py         the instructions as text, in every language
answers.py         answers: composed, written out, read back
judge.py           scores answers, and the reference answers that they are compared with
demonstrations.py  demonstrations of mixed quality for the SFT stage
translator.py      word-for-word translation into English
model.py           tokenizer and configuration of the model
assets.py          folders of the models that are shipped
"""

from icr.pocket.demonstrations import Mixture, PocketDemonstrations
from icr.pocket.judge import PocketJudge, PocketReferences
from icr.pocket.prompts import PocketPrompts
from icr.pocket.translator import LexiconTranslator

__all__ = ["LexiconTranslator", "Mixture", "PocketDemonstrations", "PocketJudge", "PocketPrompts", "PocketReferences"]
