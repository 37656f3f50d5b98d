"""Ids are those of the ``transformers`` package, on a thousand strings that no one would think of, from local files."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lamplighter.core.errors import DataError
from lamplighter.data.tokenization import checkpoint
from lamplighter.data.tokenization.checkpoint import read_tokenizer
from lamplighter.data.tokenization.encoding import Encoder
from lamplighter.data.tokenization.training import ANGLES, train

LINES = [
    line for path in sorted(Path(checkpoint.__file__).parents[1].glob("*.py")) for line in path.read_text().splitlines()
]
POOLS = (
    "abcdefghij XYZ .,!?'",
    "абвгдеёжзийклмнопрстуф АБВ",
    "é ü ñ ß ø İ ı ﬁ Å",
    "😀👩‍👩‍👧🏽🇷🇺✈️",
    "中文字符 日本語 한국어",
    "\x00\x01\t\n\r\x7f\u200b\u200d\ufeff\u00a0\u2028\ufffd\u0301",
    "[MASK] [CLS] <s> </s> <mask> <|endoftext|>",
)


def strings() -> list[str]:
    rng = random.Random(0)
    found = ["", " ", "  leading", "trailing  ", "\n\n", "’t won't I'LL", "[MASK]a[SEP]", "<mask> <mask>x"]
    found += rng.sample(LINES, 300)
    while len(found) < 1000:
        pool = "".join(rng.sample(POOLS, rng.randint(1, 4)))
        found.append("".join(rng.choice(pool) for _ in range(rng.randint(1, 40))))
    return found


@pytest.fixture(scope="module", autouse=True)
def offline() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


def compare(found: checkpoint.Found, theirs: Callable[[str], Any]) -> None:
    ours = Encoder(found.asset).texts(strings()).ids
    wrong = [(text, row.tolist()) for text, row in zip(strings(), ours) if row.tolist() != theirs(text)["input_ids"]]
    assert not wrong, f"{len(wrong)} of 1,000, for instance {wrong[0]}"


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], Path]:
    def write(lower: bool) -> Path:
        folder = tmp_path_factory.mktemp("bert")
        tokens = json.loads(train([*LINES, *POOLS * 3], "wordpiece", 1500, lowercase=lower))["model"]["vocab"]
        (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
        if not lower:
            config = {"do_lower_case": False, "tokenizer_class": "BertTokenizer"}
            (folder / "tokenizer_config.json").write_text(json.dumps(config))
        return folder

    return write


@pytest.mark.parametrize("lower", [True, False])
def test_vocab_txt_of_bert(lower: bool, bert: Callable[[bool], Path], tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    folder = bert(lower)
    found = read_tokenizer(folder)
    fast = transformers.BertTokenizer.from_pretrained(folder)
    compare(found, fast)
    compare(read_tokenizer(folder / "vocab.txt"), BertTokenizerLegacy(str(folder / "vocab.txt"), do_lower_case=lower))
    fast.save_pretrained(tmp_path)
    compare(read_tokenizer(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path))


@pytest.fixture(scope="module")
def merges() -> tuple[dict[str, int], str]:
    model = json.loads(train([*LINES, *POOLS * 3], "bpe", 1500))["model"]
    return model["vocab"], "#version: 0.2\n" + "".join(" ".join(pair) + "\n" for pair in model["merges"])


@pytest.mark.parametrize("config", [{}, {"add_prefix_space": True, "tokenizer_class": "GPT2Tokenizer"}])
def test_merges_of_gpt2(config: dict[str, Any], merges: tuple[dict[str, int], str], tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokens = [token for token in merges[0] if token not in ANGLES]
    ids = {token: id_ for id_, token in enumerate([*tokens, "<|endoftext|>"])}
    (tmp_path / "vocab.json").write_text(json.dumps(ids))
    (tmp_path / "merges.txt").write_text(merges[1])
    if config:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    compare(read_tokenizer(tmp_path), transformers.GPT2Tokenizer.from_pretrained(tmp_path))


def test_merges_of_roberta(merges: tuple[dict[str, int], str], tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    (tmp_path / "vocab.json").write_text(json.dumps(merges[0]))
    (tmp_path / "merges.txt").write_text(merges[1])
    compare(read_tokenizer(tmp_path / "merges.txt"), transformers.RobertaTokenizer.from_pretrained(tmp_path))


@pytest.mark.parametrize("scheme", ["bpe", "wordpiece", "words", "characters"])
def test_our_own_tokenizer_json_is_read_alike(scheme: Any, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    path = tmp_path / "tokenizer.json"
    path.write_bytes(train(LINES, scheme, 1500))
    compare(read_tokenizer(path), transformers.PreTrainedTokenizerFast(tokenizer_file=str(path)))


def test_padding_and_truncation_left_in_the_file_do_not_count(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_buffer(train(["a b c d e"], "words", 20))
    tokenizer.enable_padding(length=9)
    tokenizer.enable_truncation(3)
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_str())
    found = read_tokenizer(tmp_path)
    assert Encoder(found.asset, specials=False).texts(["a b c d", "a"]).ids.lengths.tolist() == [4, 1]


def test_the_names_of_special_tokens_are_read(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(train(["a b"], "words", 20))
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"pad_token": "a", "eos_token": {"content": "b"}}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"bos_token": "</s>", "pad_token": "b"}))
    assert read_tokenizer(tmp_path).named == {"pad": "b", "eos": "b", "bos": "</s>"}


def test_what_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no tokenizer here; looked for tokenizer.json, vocab.txt"):
        read_tokenizer(tmp_path)
    with pytest.raises(DataError, match="no such tokenizer"):
        read_tokenizer(tmp_path / "none.json")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(DataError, match=r"tokenizer.json: not a readable tokenizer.json"):
        read_tokenizer(tmp_path)
    (tmp_path / "vocab.txt").write_text("a\nb\n")
    with pytest.raises(DataError, match=r"no token \[UNK\]"):
        read_tokenizer(tmp_path / "vocab.txt")
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "vocab.txt").unlink()
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 0, "b": 1, "ab": 2}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\nab\n")
    with pytest.raises(DataError, match=r"merges.txt:3: expected two tokens"):
        read_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Qwen2Tokenizer"}))
    with pytest.raises(DataError, match="qwen2tokenizer; only those of GPT-2 and RoBERTa"):
        read_tokenizer(tmp_path)
    (tmp_path / "vocab.json").write_text("[1]")
    with pytest.raises(DataError, match=r"vocab.json: expected an object from token to id"):
        read_tokenizer(tmp_path)
