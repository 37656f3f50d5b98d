"""Texts to token ids: own vocabularies, those of checkpoints, and their special tokens. No torch."""
