"""``card.md``: the bundle explained to a person who has nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lamplighter.bundle.manifest import Manifest
from lamplighter.bundle.runtime.reference import Reference
from lamplighter.core.signature import Column

_EXAMPLES: dict[str, Any] = {"boolean": True, "date": "2024-01-31", "text": "some text", "numeric": 0.0}


def render(manifest: Manifest, reference: Reference, sizes: Mapping[str, int], undefined: Sequence[str] = ()) -> str:
    """The model card, in Markdown.

    Args:
        manifest: complete but for the hashes.
        reference: medians of it serve as example values.
        sizes: split -> rows.
        undefined: scores that the test split does not define (ROC AUC of a single class, for instance).
    """
    sections = [
        f"# {manifest.name} {manifest.version}\n\n{_purpose(manifest)}",
        _data(manifest, sizes),
        _scores(manifest, undefined),
        _signature(manifest),
        _parity(manifest),
        _calls(manifest, reference),
        _limits(manifest, reference),
        _versions(manifest),
    ]
    return "\n\n".join(sections) + "\n"


def _purpose(manifest: Manifest) -> str:
    inputs = manifest.signature.inputs
    given = f"an {inputs[0].kind}" if inputs[0].kind in ("image", "array") else _count(len(inputs), "column")
    if manifest.output.kind == "classification":
        labels = manifest.output.labels
        target = manifest.signature.targets[0].name
        shown = ", ".join(labels[:12]) + (", ..." if len(labels) > 12 else "")
        return f"Predicts `{target}` ({len(labels)} classes: {shown}) from {given}."
    return f"Predicts {', '.join(f'`{target}`' for target in manifest.output.targets)} from {given}."


def _data(manifest: Manifest, sizes: Mapping[str, int]) -> str:
    name = manifest.recipe.get("data", {}).get("name", "own data")
    rows = ", ".join(f"{split} {size:,}" for split, size in sizes.items())
    return f"## Data\n\nSource `{name}`. Rows: {rows}. Trained with seed {manifest.recipe.get('seed', 0)}."


def _scores(manifest: Manifest, undefined: Sequence[str]) -> str:
    lines = ["## Scores", "", "On the test split, which was not used for any decision.", ""]
    lines += ["| metric | value | interval | rows |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {score.value:.4f} | {score.low:.4f} to {score.high:.4f} ({score.level:.0%}) | {score.n:,} |"
        for name, score in manifest.metrics.items()
    ]
    if undefined:
        lines += ["", f"Not defined on this test split: {', '.join(undefined)}."]
    return "\n".join(lines)


def _signature(manifest: Manifest) -> str:
    lines = ["## Signature", "", "| input | kind | required | values |", "|---|---|---|---|"]
    for column in manifest.signature.inputs:
        required = "yes" if column.required else "no"
        lines.append(f"| `{_cell(column.name)}` | {column.kind} | {required} | {_values(column)} |")
    lines += ["", "| tensor | type | shape |", "|---|---|---|"]
    for spec in manifest.signature.tensors:
        shape = " x ".join(["rows", *("any" if size is None else str(size) for size in spec.shape)])
        lines.append(f"| `{spec.name}` | {spec.dtype} | {shape} |")
    steps = ", ".join(f"`{step['name']}`" for step in manifest.preprocessing) or "none"
    lines += ["", f"Preprocessing: {steps}. Outputs of the graph: {', '.join(f'`{n}`' for n in manifest.outputs)}."]
    return "\n".join(lines)


def _values(column: Column) -> str:
    if column.kind == "image":
        return "height {} x width {} x channels {} after preprocessing".format(*column.shape)
    if column.shape:
        return " x ".join(map(str, column.shape))
    shown = ", ".join(_cell(category) for category in column.categories[:8])
    return shown + (f", ... ({len(column.categories)})" if len(column.categories) > 8 else "")


def _parity(manifest: Manifest) -> str:
    proof = manifest.parity
    sizes = ", ".join(map(str, proof.batch_sizes))
    what = "All labels were equal." if manifest.output.kind == "classification" else "All values agreed."
    return (
        f"## Parity\n\nThe exported graph was compared with the trained network on {_count(proof.rows, 'raw row')} of "
        f"the validation split, in batches of {sizes}: largest difference {proof.max_abs:.2g}, allowed {proof.atol:g} "
        f"plus {proof.rtol:g} of the row's largest number. {what} Preprocessed rows equalled "
        "those of training bit for bit."
    )


def _calls(manifest: Manifest, reference: Reference) -> str:
    if manifest.signature.inputs[0].kind == "image":
        body = "-H 'Content-Type: image/png' --data-binary @picture.png"
        python = 'bundle.predict(["picture.png"])'
    else:
        row = _example(manifest, reference)
        payload = json.dumps({"rows": [row]}, ensure_ascii=False).replace("'", "'\\''")
        body = f"-H 'Content-Type: application/json' \\\n  -d '{payload}'"
        python = f"bundle.predict([{row!r}])"
    return f"""## How to call

```sh
lamp serve BUNDLE --port 8000
curl http://127.0.0.1:8000/v1/models/{manifest.name}/predict {body}
```

```python
import lamplighter as lamp

bundle = lamp.load_bundle("BUNDLE")
{python}
```"""


def _example(manifest: Manifest, reference: Reference) -> Any:
    """A row that fits the signature, made of medians and first categories: no row of the data."""
    medians = {
        feature.name: float(edges[len(edges) // 2])
        for feature, edges in zip(manifest.features, reference.edges)
        if feature.kind == "numeric" and len(edges)
    }
    row: dict[str, Any] = {}
    for column in manifest.signature.inputs:
        if column.kind == "array":
            shape = column.shape or (1,)
            return [0.0] * shape[0] if len(shape) == 1 else [[0.0] * shape[-1]] * shape[0]
        if column.categories:
            row[column.name] = column.categories[0]
        else:
            plain = _EXAMPLES[column.kind]
            row[column.name] = medians.get(column.name, plain) if column.kind == "numeric" else plain
    return row


def _limits(manifest: Manifest, reference: Reference) -> str:
    lines = ["## Limits", ""]
    lines.append("- It was tested on rows like those it was trained on; on others it may be wrong and sure of itself.")
    members = _members(manifest.recipe.get("task", {}))
    if members:
        lines.append(f"- It is an ensemble: {members} networks compute every answer, at the cost of all of them.")
    if any(column.categories for column in manifest.signature.inputs):
        lines.append("- Categories that training never saw are accepted and carry no information.")
    if manifest.output.kind == "classification":
        temperature = manifest.output.temperature
        fitted = (
            f"by temperature {temperature:.3g}, fitted on the validation split" if temperature != 1 else "not at all"
        )
        lines.append(f"- Every row gets one of the {len(manifest.output.labels)} labels, whatever it shows.")
        lines.append(f"- Probabilities are {f'calibrated {fitted}' if temperature != 1 else 'not calibrated'}.")
        if manifest.output.threshold is not None:
            label = manifest.output.labels[manifest.output.positive]
            lines.append(
                f"- `{_cell(label)}` is answered from a probability of {manifest.output.threshold:.4g} upwards, chosen "
                "on the validation split; the confidence of an answer may therefore lie below one half."
            )
    kept = 0 if reference.features is None else len(reference.features)
    lines.append(
        f"- `reference.npz` holds statistics of {_count(reference.n, 'validation row')} and "
        f"{_count(kept, 'row')} of features and outputs"
        + (" (set `bundle: {reference: summary}` to keep none)." if kept else ".")
    )
    return "\n".join(lines)


def _members(task: Mapping[str, Any]) -> int:
    """Networks of an ensemble; 0 of anything else."""
    members = task.get("members", 0) if task.get("name") == "ensemble" else 0
    return members if isinstance(members, int) else len(members)


def _versions(manifest: Manifest) -> str:
    made = ", ".join(f"{name} {version}" for name, version in manifest.packages.items())
    return f"## Made\n\n{manifest.created}, bundle format {manifest.format_version}, with {made}."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _cell(text: str) -> str:
    """Safe within a table of Markdown."""
    return text.replace("|", "\\|").replace("\n", " ")
