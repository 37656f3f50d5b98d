"""Facts that components ask for come from the signature, and only when the data has them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from lamplighter.core.signature import Column, Signature, TensorSpec


def signature(shape: tuple[int | None, ...], *targets: Column) -> Signature:
    column = Column(name="x", kind="array", shape=())
    return Signature(inputs=(column,), tensors=(TensorSpec(name="x", dtype="float32", shape=shape),), targets=targets)


SIDE = Column(name="side", kind="category", categories=("left", "right", "none"))
PRICE = Column(name="price", kind="numeric")
RENT = Column(name="rent", kind="numeric")


def test_images_have_channels_and_size() -> None:
    facts = signature((3, 8, 9), SIDE).facts()
    assert (facts["in_channels"], facts["image_size"], facts["in_features"], facts["num_classes"]) == (
        3,
        (8, 9),
        216,
        3,
    )


def test_vectors_have_features_only() -> None:
    facts = signature((7,), PRICE, RENT).facts()
    assert (facts["in_features"], facts["num_classes"]) == (7, 2)
    assert "in_channels" not in facts


def test_what_varies_is_no_fact() -> None:
    assert "in_features" not in signature((3, None, None), SIDE).facts()


def test_labels_belong_to_a_single_category() -> None:
    assert signature((1,), SIDE).labels == ("left", "right", "none")
    assert signature((1,), SIDE, PRICE).labels == ()
    assert signature((1,), PRICE).labels == ()


def test_json_round_trip_and_strange_keys() -> None:
    original = signature((3, None), SIDE)
    assert Signature.model_validate_json(original.model_dump_json()) == original
    with pytest.raises(ValidationError, match="surprise"):
        Signature.model_validate({**original.model_dump(), "surprise": 1})
