"""Segmentation: logits of every pixel become a mask at the size of the image that was sent, and shares of classes."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from lamplighter.bundle.runtime.kinds.base import Answer, Kind, Network, Truth
from lamplighter.bundle.runtime.kinds.regression import mean_error
from lamplighter.bundle.runtime.kinds.showing import number, quoted
from lamplighter.core.errors import BundleError, InputError
from lamplighter.data.preprocessing import masks, tiling
from lamplighter.data.preprocessing.pipeline import Tensors, own_sizes

X, SIZES = "x", "original_size"
"""What step ``fit-images`` makes of rows."""
APART = 1e-3
"""Share of pixels that two equal networks may answer differently: where two classes are equally likely."""


class Segmentation(Kind):
    """The likeliest class of each pixel; images larger than ``settings.tile`` are answered tile by tile and blended.

    Where images were resized, the logits are brought to the image's own size before a class is chosen, so that edges
    stay smooth. Where they keep their sizes, each is computed without what it was filled up with: an answer does not
    depend on who else is in the batch.

    Answers: ``mask`` (height, width) of class indices at the size that was sent, an array in Python and base64 of a PNG
    over HTTP; ``shares``, of pixels by class; ``confidence``, the mean over pixels of the largest probability.

    >>> from lamplighter.bundle.manifest import Output
    >>> kind = Segmentation(Output(kind="segmentation", labels=("sky", "sea")))
    >>> logits = np.array([[[[9.0, 0.0], [0.0, 0.0]], [[0.0, 9.0], [9.0, 9.0]]]], np.float32)
    >>> outputs = kind.run(lambda tensors: {"logits": logits}, {"x": np.zeros((1, 3, 2, 2), np.uint8)})
    >>> kind.answers(outputs, {})[0]["mask"].tolist(), kind.answers(outputs, {})[0]["shares"]
    ([[0, 1], [1, 1]], {'sky': 0.25, 'sea': 0.75})
    """

    first = "logits"
    metric = "mae"
    headline = ("mean_iou", "mean IoU", True)

    @property
    def columns(self) -> tuple[str, ...]:
        return self.output.labels

    def check(self) -> None:
        super().check()
        tile, overlap = (self.output.settings.get(name) for name in ("tile", "overlap"))
        if tile is not None and not (isinstance(tile, int) and tile >= 1):
            raise BundleError(f"manifest.json: output: settings.tile {tile!r} is no number of pixels")
        if tile is not None and not (isinstance(overlap, int | float) and 0 <= overlap <= 0.5):
            raise BundleError(f"manifest.json: output: settings.overlap {overlap!r} is no share from 0 to 0.5")

    def check_outputs(self, outputs: Tensors, tensors: Tensors) -> None:
        wanted = (len(tensors[X]), len(self.columns), *tensors[X].shape[2:])
        if outputs["logits"].shape != wanted:
            raise BundleError(
                f"the network's output 'logits' has shape {outputs['logits'].shape}; {wanted} is needed, one number "
                "for each class and pixel"
            )

    def run(self, network: Network, tensors: Tensors) -> Tensors:
        """``mask`` (N, H, W), filled up to the largest; ``size`` (N, 2), ``shares`` (N, K), ``confidence`` (N,) and,
        where the network has one, ``embedding`` (N, D)."""
        x = tensors[X]
        sent = tensors.get(SIZES, np.tile(np.array(x.shape[2:], np.int64), (len(x), 1)))
        own = own_sizes(self.pipeline.steps if self.pipeline else (), tensors)
        sizes = np.broadcast_to(x.shape[2:], sent.shape) if own is None else own
        found: list[Tensors] = [{}] * len(x)
        for height, width in np.unique(sizes, axis=0).tolist():
            rows = np.flatnonzero((sizes == (height, width)).all(axis=1))
            outputs = self._outputs(network, x[rows, :, :height, :width])
            self._check_finite(outputs["logits"], rows)
            for position, row in enumerate(rows):
                one = {name: array[position] for name, array in outputs.items()}
                found[row] = self._decided(one.pop("logits"), tuple(sent[row].tolist())) | one
        largest = tuple(sent.max(axis=0).tolist())
        mask = np.zeros((len(x), *largest), np.uint8 if len(self.columns) <= 256 else np.uint16)
        for whole, one in zip(mask, found):
            own_mask = one.pop("mask")
            whole[: own_mask.shape[0], : own_mask.shape[1]] = own_mask
        together = {name: np.stack([one[name] for one in found]) for name in found[0]}
        return {"mask": mask, "size": sent, **together}

    def scores(self, outputs: Tensors, tensors: Tensors) -> np.ndarray:
        return outputs["shares"].astype(np.float64)

    def answers(self, outputs: Tensors, tensors: Tensors) -> list[Answer]:
        return [
            {
                "mask": mask[: size[0], : size[1]],
                "shares": dict(zip(self.columns, shares.tolist())),
                "confidence": float(confidence),
            }
            for mask, size, shares, confidence in zip(
                outputs["mask"], outputs["size"], outputs["shares"], outputs["confidence"]
            )
        ]

    def plain(self, answer: Answer) -> Answer:
        return {**answer, "mask": base64.b64encode(masks.png(answer["mask"])).decode("ascii")}

    def kept(self, outputs: Tensors, tensors: Tensors) -> Tensors:
        return {name: array for name, array in outputs.items() if name in ("shares", "embedding")}

    def difference(self, ours: Answer, theirs: Answer) -> str | None:
        a, b = ours["mask"], theirs["mask"]
        if a.shape != b.shape:
            return f"a mask of {a.shape} pixels where torch's has {b.shape}"
        apart = int((a != b).sum())
        if apart <= max(1.0, APART * a.size):
            return None
        return f"{apart} of {a.size} pixels have another class than in torch"

    def entries(self, scores: np.ndarray, answers: Sequence[Answer] | None) -> list[dict[str, Any]]:
        confidences = (
            [None] * len(scores) if answers is None else [number(np.float64(a["confidence"])) for a in answers]
        )
        return [
            {"label": self.columns[int(row.argmax())], "value": None, "confidence": confidence}
            for row, confidence in zip(scores, confidences)
        ]

    def truth(self, given: Any) -> Truth:
        if isinstance(given, str):
            return self._shares_of(given)
        if not isinstance(given, dict) or not given:
            raise InputError("give shares by class, or a mask as base64 of a PNG", field="value")
        for label, share in given.items():
            if label not in self.columns:
                raise InputError(f"unknown class {quoted(label)}; known: {', '.join(self.columns)}", field="values")
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
                raise InputError(f"'{label}' needs a share from 0 to 1, not {quoted(share)}", field="values")
        if sum(given.values()) > 1 + 1e-6:
            raise InputError(f"the shares sum to {sum(given.values()):.6g}, which is more than 1", field="values")
        return {label: float(share) for label, share in given.items()}

    def error(self, truth: Truth, label: str | None, scores: np.ndarray) -> float:
        return mean_error(truth, self.columns, scores)

    def known(self) -> str:
        return (
            f'gives shares of pixels: send "values" as an object with {", ".join(self.columns)}, or "label" with a '
            "mask of class indices as base64 of a PNG"
        )

    def truth_example(self) -> dict[str, Any]:
        return {"values": dict.fromkeys(self.columns, round(1 / len(self.columns), 4))}

    def fields(self, probabilities: bool) -> list[str]:
        return ["confidence", *(f"share_{label}" for label in self.columns)]

    def flat(self, answer: Answer) -> Answer:
        shares = {f"share_{label}": share for label, share in answer["shares"].items()}
        return {"confidence": answer["confidence"], **shares}

    def _outputs(self, network: Network, x: np.ndarray) -> Tensors:
        """Of images of one size, whole or tile by tile."""
        tile: Any = self.output.settings.get("tile")
        if not tiling.needs_tiles(x.shape[2], x.shape[3], tile):
            return network({X: np.ascontiguousarray(x)})
        overlap: Any = self.output.settings["overlap"]
        names: list[str] = []

        def answer(tiles: np.ndarray) -> list[np.ndarray]:
            outputs = network({X: tiles})
            names[:] = ["logits", *(name for name in outputs if name != "logits")]
            return [outputs[name] for name in names]

        blended = tiling.tiled(answer, x, tile, overlap)
        return dict(zip(names, blended))

    def _decided(self, logits: np.ndarray, size: tuple[int, int]) -> Tensors:
        """The mask of one image, and what is said about it."""
        if logits.shape[1:] != size:
            logits = np.stack([_resized(plane, size) for plane in logits])
        mask = logits.argmax(axis=0)
        highest = logits.max(axis=0)
        confidence = 1 / np.exp(logits - highest).sum(axis=0)  # the softmax of the largest logit
        shares = np.bincount(mask.ravel(), minlength=len(logits)) / mask.size
        return {"mask": mask, "shares": shares, "confidence": np.array(confidence.mean(dtype=np.float64))}

    def _check_finite(self, logits: np.ndarray, rows: np.ndarray) -> None:
        try:
            self._finite(logits)
        except InputError as error:
            raise InputError(error.reason, row=int(rows[error.row or 0])) from None

    def _shares_of(self, text: str) -> dict[str, float]:
        """Shares of the classes in a mask, base64 of an image of class indices; 255 does not count."""
        try:
            content = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise InputError("neither shares by class nor base64 of a mask", field="label") from None
        count = len(self.columns)
        try:
            classes = masks.MaskCoding(tuple(range(count)), 255 if count <= 255 else None).read(content)
        except InputError as error:
            raise type(error)(error.reason, field="label") from None
        counts = np.bincount(classes[classes >= 0].ravel(), minlength=count)
        if not counts.sum():
            raise InputError("no pixel of the mask has a class", field="label")
        return dict(zip(self.columns, (counts / counts.sum()).tolist()))


def _resized(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """One class's logits at another size, bilinear; averaged when it becomes smaller."""
    height, width = size
    return np.asarray(Image.fromarray(plane.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR))
