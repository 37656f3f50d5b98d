"""Files of tagged words: what is read, and what is refused at its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lamplighter.core.errors import DataError
from lamplighter.data.tables.tagged import Tagged, check_scheme, read_tagged

CONLL = """-DOCSTART- -X- O O

# a comment
EU NNP B-ORG
rejects VBZ O

Peter NNP B-PER
Blackburn NNP I-PER


# left out
. . O
"""


def write(folder: Path, text: str, name: str = "words.conll") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_and_sentences(tmp_path: Path) -> None:
    path = write(tmp_path, CONLL)
    found = read_tagged(path, 0, -1, "utf-8")
    assert [(sentence.words, sentence.tags) for sentence in found] == [
        (["EU", "rejects"], ["B-ORG", "O"]),
        (["Peter", "Blackburn"], ["B-PER", "I-PER"]),
        (["."], ["O"]),
    ]
    assert found[1].at(1) == f"{path}:8" and found[0].where == f"{path}:4"
    assert read_tagged(path, 0, 1, "utf-8")[0].tags == ["NNP", "VBZ"]


def test_tabs_windows_lines_and_a_hash_that_is_a_word(tmp_path: Path) -> None:
    path = tmp_path / "w.txt"
    path.write_bytes("\ufeffNew York\tB-LOC\r\n#\tO\r\n# 1\tO\r\n\r\n".encode())
    (only,) = read_tagged(path, 0, 1, "utf-8")
    assert only.words == ["New York", "#", "# 1"] and only.tags == ["B-LOC", "O", "O"]


def test_json_lines(tmp_path: Path) -> None:
    path = write(tmp_path, '{"tokens": ["EU", "x"], "ner": ["B-ORG", "O"]}\n', "w.jsonl")
    (only,) = read_tagged(path, "tokens", "ner", "utf-8")
    assert only.words == ["EU", "x"] and only.at(1) == f"{path}:1"


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("EU B-ORG\nrejects\n", "w", r"w:2: a single column"),
        ("EU\tB ORG\n", "w", r"w:1: the tag 'B ORG' has a space in it"),
        ("EU\t\n", "w", r"w:1: the tag is empty"),
        ("\n\n", "w", "no sentences in this file"),
        ('{"words": ["a"], "tags": ["O", "O"]}', "w.jsonl", r"w.jsonl:1: 1 words, but 2 tags"),
        ('{"words": ["a"]}', "w.jsonl", r"w.jsonl:1: 'tags' must be a list of texts"),
        ('{"words": [" "], "tags": ["O"]}', "w.jsonl", r"w.jsonl:1: 'words' must be a list of texts"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_tagged(write(tmp_path, text, name), 0, -1, "utf-8")


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    path = write(tmp_path, CONLL)
    with pytest.raises(DataError, match=r":4: 3 columns, but words are in column 0 and tags in 5"):
        read_tagged(path, 0, 5, "utf-8")
    with pytest.raises(DataError, match="give the numbers of columns"):
        read_tagged(path, "words", -1, "utf-8")
    (tmp_path / "w").write_bytes(b"caf\xe9 O\n")
    with pytest.raises(DataError, match="not utf-8 text"):
        read_tagged(tmp_path / "w", 0, -1, "utf-8")


def sentence(*tags: str) -> Tagged:
    return Tagged(["w"] * len(tags), list(tags), Path("f"), list(range(1, len(tags) + 1)))


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        (["O", "B-A", "I-A"], "bio"),
        (["O", "S-A", "B-A", "E-A"], "iobes"),
        (["NOUN", "VERB"], "none"),
        (["O", "I-A"], "none"),
        (["X-Y", "B-A"], "none"),
    ],
)
def test_the_scheme_is_told_from_the_tags(tags: list[str], scheme: str) -> None:
    assert check_scheme([sentence(*tags)], "auto", mend=False) == (scheme, 0)


@pytest.mark.parametrize(
    ("tags", "line", "words"),
    [
        (("I-A", "B-A"), 1, "follows nothing"),
        (("B-A", "I-B"), 2, "follows 'B-A'"),
        (("B-A", "O", "I-A"), 3, "follows 'O'"),
    ],
)
def test_broken_sequences_are_refused_or_mended(tags: tuple[str, ...], line: int, words: str) -> None:
    wrong: Any = sentence(*tags)
    with pytest.raises(DataError, match=rf"^f:{line}: '{tags[line - 1]}' goes on with an entity, but {words}"):
        check_scheme([wrong], "bio", mend=False)
    assert check_scheme([wrong], "bio", mend=True) == ("bio", 1)
    assert wrong.tags[line - 1] == "B" + tags[line - 1][1:]
    assert check_scheme([wrong], "bio", mend=False) == ("bio", 0)


def test_iobes_is_mended_too() -> None:
    wrong = sentence("E-A", "O", "I-A", "E-A")
    assert check_scheme([wrong], "iobes", mend=True)[1] == 2
    assert wrong.tags == ["S-A", "O", "B-A", "E-A"]


def test_foreign_tags_under_a_named_scheme() -> None:
    with pytest.raises(DataError, match=r"^f:2: 'NOUN' is no tag of the scheme bio: O, or one of B, I"):
        check_scheme([sentence("O", "NOUN")], "bio", mend=False)
    with pytest.raises(DataError, match=r"^f:1: 'B' is no tag"):
        check_scheme([sentence("B")], "bio", mend=True)
