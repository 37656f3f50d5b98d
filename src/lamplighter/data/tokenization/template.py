"""What a tokenizer puts around a text: its begin token, both ends, or nothing."""

from __future__ import annotations

from typing import Literal

from lamplighter.core.errors import DataError
from lamplighter.core.signature import Vocabulary

Around = Literal["begin", "both", "none"]
"""``begin``: the begin token stands before a text, as language models have it, so that its first word can be foretold,
too; ``both``: begin and end, as encoders have it; ``none``: nothing."""


def put_around(asset: bytes, vocabulary: Vocabulary, around: Around) -> bytes:
    """The same tokenizer with other tokens around a text.

    Args:
        asset: bytes of a ``tokenizer.json``.
        vocabulary: its special ids. Without a begin token the end token begins a text, as in GPT-2.
        around: see `Around`.

    Raises:
        DataError: the tokenizer has no such token.

    >>> from lamplighter.data.tokenization.encoding import Encoder
    >>> from lamplighter.data.tokenization.training import train
    >>> own = train(["to be or not"], "words", vocab_size=20)
    >>> ids = Vocabulary(size=9, pad=0, bos=2, eos=3)
    >>> [Encoder(put_around(own, ids, around)).texts(["to be"]).ids[0].tolist() for around in ("begin", "both", "none")]
    [[2, 8, 5], [2, 8, 5, 3], [8, 5]]
    """
    from tokenizers import Tokenizer, processors

    tokenizer = Tokenizer.from_buffer(asset)
    begin = next((id_ for id_ in (vocabulary.bos, vocabulary.cls, vocabulary.eos) if id_ is not None), None)
    end = next((id_ for id_ in (vocabulary.eos, vocabulary.sep) if id_ is not None), None)
    if around == "both" and vocabulary.cls is not None and vocabulary.sep is not None:
        begin, end = vocabulary.cls, vocabulary.sep
    wanted = {"begin": [begin], "both": [begin, end], "none": []}[around]
    ids = [id_ for id_ in wanted if id_ is not None]
    if len(ids) < len(wanted):
        raise DataError(f"this tokenizer has no token that {'ends' if begin is not None else 'begins'} a text")
    names = [str(tokenizer.id_to_token(id_)) for id_ in ids]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=" ".join([*names[:1], "$A", *names[1:]]), special_tokens=list(dict(zip(names, ids)).items())
    )
    written: str = tokenizer.to_str()
    return written.encode()
