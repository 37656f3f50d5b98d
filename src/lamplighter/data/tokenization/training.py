"""Trains a vocabulary on texts: byte-level BPE, WordPiece, whole words or characters; equal texts give an equal one.

A tokenizer is handed around as the bytes of its ``tokenizer.json`` (the format of the ``tokenizers`` library), which is
what bundles carry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from lamplighter.core import extras
from lamplighter.core.errors import DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Scheme = Literal["bpe", "wordpiece", "words", "characters"]
"""``bpe``: byte-level pair encoding (Sennrich et al. 2016, on bytes as GPT-2 has it), which can write every text.
``wordpiece``: pieces of words, ``##`` before those that go on (BERT). ``words``: the most frequent words and signs.
``characters``: one token a character."""
BRACKETS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ANGLES = ("<pad>", "<unk>", "<s>", "</s>", "<mask>")
"""Special tokens, ids 0 to 4: padding, unknown, begin, end, hidden."""
_ALPHABET = 1000
_PREFIX = "##"


def train(texts: Iterable[str], scheme: Scheme = "bpe", vocab_size: int = 8000, lowercase: bool | None = None) -> bytes:
    """Learn a vocabulary.

    Args:
        texts: of the training split; no others.
        scheme: see `Scheme`.
        vocab_size: tokens at most, special ones among them; fewer when the texts do not have as many.
        lowercase: whether case and accents are dropped. None: yes for ``wordpiece`` and ``words``.

    Returns:
        The bytes of a ``tokenizer.json``. A text is given a begin and an end token.

    Raises:
        DataError: no text, or ``vocab_size`` is too small for the characters of the texts.
        MissingExtraError: the package ``tokenizers`` is not installed.

    >>> import json
    >>> found = json.loads(train(2 * ["low lower lowest", "new newer newest"], "wordpiece", vocab_size=60))
    >>> list(found["model"]["vocab"])[:8], list(found["model"]["vocab"])[-4:]
    (['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', '##e', '##o', '##r'], ['lowest', 'new', 'newer', 'newest'])
    """
    extras.require("tokenizers")
    texts = list(texts)
    if not any(text.strip() for text in texts):
        raise DataError("there is no text to learn a vocabulary from")
    lower = scheme in ("wordpiece", "words") if lowercase is None else lowercase
    trained = {"bpe": _bpe, "wordpiece": _wordpiece, "words": _words, "characters": _characters}[scheme](
        texts, vocab_size, lower
    )
    _add_specials(trained, BRACKETS if scheme == "wordpiece" else ANGLES)
    written: str = trained.to_str()
    return written.encode()


def _bpe(texts: Sequence[str], vocab_size: int, lowercase: bool) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    least = len(ANGLES) + 256
    if vocab_size < least:
        raise DataError(f"vocab_size {vocab_size}: the 256 bytes and {len(ANGLES)} special tokens need {least}")
    tokenizer = Tokenizer(models.BPE())
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=list(ANGLES),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _wordpiece(texts: Sequence[str], vocab_size: int, lowercase: bool) -> Tokenizer:
    """BERT's normaliser and pre-tokeniser.

    The library gives ids to continuing characters (``##a``) in the order of a hash table, which differs from process to
    process and decides between equally frequent pairs. They are fixed beforehand, so that training can be repeated.
    """
    from tokenizers import Tokenizer, decoders, models, trainers

    tokenizer = _of_words(Tokenizer(models.WordPiece(unk_token=BRACKETS[1])), lowercase)
    first, later = _characters_of(_word_counts(tokenizer, texts))
    kept = [character for character, _ in sorted((first + later).items(), key=lambda x: (-x[1], x[0]))[:_ALPHABET]]
    continuing = [_PREFIX + character for character in sorted(set(kept) & set(later))]
    least = len(BRACKETS) + len(continuing) + len(kept)
    if vocab_size < least:
        raise DataError(f"vocab_size {vocab_size}: the characters of these texts and special tokens need {least}")
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[*BRACKETS, *continuing],
        initial_alphabet=sorted(kept),
        limit_alphabet=len(kept),
        continuing_subword_prefix=_PREFIX,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    found = _of_words(Tokenizer(models.WordPiece(tokenizer.get_vocab(), unk_token=BRACKETS[1])), lowercase)
    found.decoder = decoders.WordPiece(prefix=_PREFIX)
    return found


def _words(texts: Sequence[str], vocab_size: int, lowercase: bool) -> Tokenizer:
    from tokenizers import Tokenizer, models, trainers

    _check_room(vocab_size)
    tokenizer = _of_words(Tokenizer(models.WordLevel({}, unk_token=ANGLES[1])), lowercase)
    trainer = trainers.WordLevelTrainer(vocab_size=vocab_size, special_tokens=list(ANGLES), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _characters(texts: Sequence[str], vocab_size: int, lowercase: bool) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    _check_room(vocab_size)
    counts = Counter(character for text in texts for character in (text.lower() if lowercase else text))
    kept = [character for character, _ in sorted(counts.items(), key=lambda x: (-x[1], x[0]))]
    vocabulary = {token: id_ for id_, token in enumerate([*ANGLES, *kept[: vocab_size - len(ANGLES)]])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=ANGLES[1]))
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def _of_words(tokenizer: Tokenizer, lowercase: bool) -> Tokenizer:
    from tokenizers import normalizers, pre_tokenizers

    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _word_counts(tokenizer: Any, texts: Sequence[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        normal = tokenizer.normalizer.normalize_str(text)
        counts.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal))
    return counts


def _characters_of(words: Counter[str]) -> tuple[Counter[str], Counter[str]]:
    """How often each character begins a word, and how often it stands later in one."""
    first: Counter[str] = Counter()
    later: Counter[str] = Counter()
    for word, count in words.items():
        first[word[0]] += count
        for character in word[1:]:
            later[character] += count
    return first, later


def _add_specials(tokenizer: Any, tokens: Sequence[str]) -> None:
    """Begin and end are put around a text; a special token that stands in a text is that token."""
    from tokenizers import AddedToken, processors

    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in tokens])
    begin, end = tokens[2], tokens[3]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}",
        pair=f"{begin} $A {end} $B:1 {end}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (begin, end)],
    )


def _check_room(vocab_size: int) -> None:
    if vocab_size <= len(ANGLES):
        raise DataError(f"vocab_size {vocab_size}: {len(ANGLES)} special tokens and at least one other are needed")
