"""What the report shows of answers, by their kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamplighter.core.signature import Column, Signature, TensorSpec
from lamplighter.evaluate import views
from lamplighter.evaluate.glossary import WORDS
from lamplighter.evaluate.views import Judged, view_of

SIGNATURE = Signature(
    inputs=(Column(name="x", kind="numeric"),),
    tensors=(TensorSpec(name="x", dtype="float32", shape=(1,)),),
    targets=(Column(name="label", kind="category", categories=("a", "b")),),
)


def judged(**outputs: Any) -> Judged:
    return Judged(outputs, SIGNATURE, lambda indices: [{"x": float(i)} for i in indices])


def test_every_kind_has_a_template_and_words() -> None:
    folder = Path(views.__file__).parent / "templates"
    for kind, where in views.VIEWS.items():
        assert where.partition(":")[0].startswith("lamplighter."), kind
        assert kind in WORDS
    assert (folder / "classification.html").is_file() and (folder / "regression.html").is_file()


def test_links_name_what_the_template_has() -> None:
    view = view_of("classification", judged(logits=np.eye(2), y=np.arange(2)))
    text = (Path(views.__file__).parent / "templates" / view["template"]).read_text()
    text += (Path(views.__file__).parent / "templates" / "decision.html").read_text()
    for anchor, _ in view["links"]:
        assert f'id="{anchor}"' in text, anchor
    assert ("decision", "Threshold") in view["links"]


@pytest.mark.parametrize("kind", ["classification", "of one's own"])
def test_without_rows_or_for_other_kinds_there_is_nothing_to_show(kind: str) -> None:
    rows = 0 if kind == "classification" else 2
    view = view_of(kind, judged(logits=np.zeros((rows, 2)), y=np.zeros(rows, np.int64)))
    assert view["template"] is None and view["links"] == []
