"""Implicit Cross-Lingual Rewarding: teach an English-aligned model's preferences to other languages."""

__version__ = "0.2.0"
