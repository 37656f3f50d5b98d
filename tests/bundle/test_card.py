"""The card tells a person what the bundle is, with numbers that are the manifest's."""

from __future__ import annotations

import json
import re
from typing import Any

from lamplighter.bundle import card
from lamplighter.bundle.manifest import Feature, Output
from lamplighter.bundle.runtime import Bundle

SIZES = {"train": 1000, "val": 50, "test": 60}


def test_a_table(trees_bundle: Bundle) -> None:
    text = card.render(trees_bundle.manifest, trees_bundle.reference, SIZES)
    assert text.startswith("# trees 2\n\nPredicts `price` from 4 columns.")
    assert "Rows: train 1,000, val 50, test 60." in text
    assert "| mae | 1.5000 | 1.1000 to 2.0000 (95%) | 18 |" in text
    assert "| `colour` | category | yes |" in text
    assert f"{trees_bundle.manifest.parity.max_abs:.2g}" in text
    assert "Categories that training never saw" in text
    assert "calibrated" not in text


def test_the_call_it_shows_works(trees_bundle: Bundle) -> None:
    """The row in the curl command is one the model answers, and it is no row of the data."""
    text = card.render(trees_bundle.manifest, trees_bundle.reference, SIZES)
    match = re.search(r"-d '(.+)'$", text, re.MULTILINE)
    assert match
    rows: list[dict[str, Any]] = json.loads(match[1].replace("'\\''", "'"))["rows"]
    assert set(rows[0]) == {"size", "colour", "old", "planted"}
    assert rows[0]["size"] != 0.0
    assert list(trees_bundle.predict(rows)[0]) == ["value"]


def test_images_and_classes(digits_bundle: Bundle) -> None:
    text = card.render(digits_bundle.manifest, digits_bundle.reference, SIZES, ["roc_auc"])
    assert "Predicts `label` (10 classes: 0, 1, 2" in text
    assert "--data-binary @picture.png" in text
    assert "height 8 x width 8 x channels 1" in text
    assert "Probabilities are not calibrated." in text
    assert "Not defined on this test split: roc_auc." in text


def test_arrays(linear_bundle: Bundle) -> None:
    text = card.render(linear_bundle.manifest, linear_bundle.reference, SIZES)
    assert '{"rows": [[0.0, 0.0, 0.0, 0.0]]}' in text
    assert "calibrated by temperature 1.5" in text


def test_awkward_names_do_not_break_the_tables_or_the_shell(trees_bundle: Bundle) -> None:
    manifest = trees_bundle.manifest
    odd = manifest.signature.inputs[1].model_copy(update={"name": "it's|odd", "categories": ("a|b", "l'eau")})
    signature = manifest.signature.model_copy(update={"inputs": (odd,)})
    features = (Feature(name="it's|odd", kind="category", origin="column"),)
    text = card.render(
        manifest.model_copy(update={"signature": signature, "features": features}), trees_bundle.reference, SIZES
    )
    assert "| `it's\\|odd` | category | yes | a\\|b, l'eau |" in text
    assert "it'\\''s|odd" in text


def test_a_threshold_is_explained(digits_bundle: Bundle) -> None:
    manifest = digits_bundle.manifest
    assert "threshold" not in card.render(manifest, digits_bundle.reference, SIZES)
    output = Output(kind="classification", labels=("ham", "spam|"), threshold=0.123456, positive=1)
    text = card.render(manifest.model_copy(update={"output": output}), digits_bundle.reference, SIZES)
    assert "`spam\\|` is answered from a probability of 0.1235 upwards" in text
