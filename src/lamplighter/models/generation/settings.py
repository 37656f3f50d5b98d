"""How tokens are chosen and when generation ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lamplighter.core.errors import LamplighterError


@dataclass(frozen=True)
class GenerationSettings:
    """Names are those of transformers' ``GenerationConfig``.

    Attributes:
        max_new_tokens: at most so many tokens are added.
        do_sample: draw from the distribution; otherwise take the likeliest token each time (greedy).
        temperature: of the distribution; below 1 sharper.
        top_k: draw from the k likeliest tokens only; None draws from all. (transformers' default is 50.)
        top_p: draw from the likeliest tokens that together reach this probability only.
        repetition_penalty: above 1 makes tokens rarer that prompt or output already hold. Padding does not count.
        eos_token_id: tokens that end a row.
        stop: sequences of tokens that end a row; they stay in the output.
        pad_token_id: fills up rows that ended before others; the model's own, or the first ``eos_token_id``, when None.
        seed: the same seed gives the same tokens, row by row, whatever else is in the batch; None: others each time.
        use_cache: keep keys and values; the tokens are the same without, only later.
    """

    max_new_tokens: int = 20
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    eos_token_id: int | Sequence[int] | None = None
    stop: Sequence[Sequence[int]] = ()
    pad_token_id: int | None = None
    seed: int | None = None
    use_cache: bool = True

    def __post_init__(self) -> None:
        for name, fits, wanted in (
            ("max_new_tokens", self.max_new_tokens >= 1, "at least 1"),
            ("temperature", self.temperature > 0, "above 0; for the likeliest token each time use do_sample=False"),
            ("top_k", self.top_k is None or self.top_k >= 1, "at least 1, or None"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("repetition_penalty", self.repetition_penalty > 0, "above 0"),
            ("stop", all(self.stop), "made of sequences with at least one token each"),
            ("seed", self.seed is None or self.seed >= 0, "at least 0"),
        ):
            if not fits:
                raise LamplighterError(f"generate: {name} is {getattr(self, name)}; it must be {wanted}")

    @property
    def endings(self) -> tuple[tuple[int, ...], ...]:
        """Every sequence of tokens that ends a row, those of one token among them."""
        ends = () if self.eos_token_id is None else self.eos_token_id
        single = (ends,) if isinstance(ends, int) else tuple(ends)
        return (*((token,) for token in single), *(tuple(sequence) for sequence in self.stop))
