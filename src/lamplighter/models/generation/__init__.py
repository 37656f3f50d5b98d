"""Generation: `generate` and `stream` for decoders, how tokens are chosen, and perplexity."""

from __future__ import annotations

from lamplighter.models.generation.generate import generate, pad_left, stream
from lamplighter.models.generation.perplexity import Surprise, surprise
from lamplighter.models.generation.settings import GenerationSettings

__all__ = ["GenerationSettings", "Surprise", "generate", "pad_left", "stream", "surprise"]
