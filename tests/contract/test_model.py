"""What every model must hold, on every kind of input it accepts."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lamplighter.core import registry
from lamplighter.core.errors import LamplighterError

CLASSES = 3
VOCABULARY = 17
LENGTH = 11


@dataclass(frozen=True)
class Kind:
    """One kind of input and output.

    Attributes:
        facts: what the data tells a model; a model is of this kind when they satisfy its `FromData` parameters.
        inputs: makes what the model takes: tensors whose first dimension are the rows.
        shape: of the output, without the rows.
        classes: dimension of the output that holds the scores.
        models: names of the models of this kind, where the facts alone do not tell.
    """

    facts: dict[str, Any]
    inputs: Callable[[int, torch.Generator], tuple[Tensor, ...]]
    shape: tuple[int, ...] = (CLASSES,)
    classes: int = 1
    models: tuple[str, ...] = ()


def _floats(*shape: int) -> Callable[[int, torch.Generator], tuple[Tensor, ...]]:
    return lambda rows, generator: (torch.randn(rows, *shape, generator=generator),)


def _tokens(rows: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Ids of rows that have different lengths, padded behind, and which of them are real."""
    ids = torch.randint(1, VOCABULARY, (rows, LENGTH), generator=generator)
    real = torch.arange(LENGTH) < LENGTH - 2 * (torch.arange(rows) % 4)[:, None]
    return ids * real, real


def _pairs(rows: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """A source, which of it is real, and a target of another length that begins with token 1."""
    target = torch.randint(3, VOCABULARY, (rows, LENGTH - 4), generator=generator)
    target[:, 0] = 1
    return *_tokens(rows, generator), target


def _text(head: str) -> dict[str, Any]:
    return {"vocab_size": VOCABULARY, "pad_token_id": 0, "num_classes": CLASSES, "head": head}


KINDS: dict[str, Kind] = {
    "image": Kind(
        {"in_channels": 2, "image_size": (9, 12), "in_features": 2 * 9 * 12, "num_classes": CLASSES}, _floats(2, 9, 12)
    ),
    "patches": Kind(
        {"in_channels": 2, "image_size": (32, 64), "num_classes": CLASSES},
        _floats(2, 32, 64),
        models=("vit_b_16", "vit_b_32", "vit_l_16"),
    ),
    "segmentation": Kind(
        {"in_channels": 2, "image_size": (9, 12), "num_classes": CLASSES},
        _floats(2, 9, 12),
        (CLASSES, 9, 12),
        models=(
            "deeplabv3_resnet18",
            "deeplabv3_resnet50",
            "deeplabv3_resnet101",
            "unet",
            "unet_resnet18",
            "unet_resnet34",
            "unet_resnet50",
        ),
    ),
    "table": Kind({"in_features": 7, "num_classes": CLASSES}, _floats(7)),
    "text-classifier": Kind(_text("classifier"), _tokens),
    "tagger": Kind(_text("tagger"), _tokens, (LENGTH, CLASSES), 2),
    "lm": Kind(_text("lm"), _tokens, (LENGTH, VOCABULARY), 2),
    "seq2seq": Kind(
        {"vocab_size": VOCABULARY, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
        _pairs,
        (LENGTH - 4, VOCABULARY),
        2,
        ("seq2seq", "transformer"),
    ),
}
"""To test a model on another kind of input, add it here."""

TEXT = ("text-classifier", "tagger", "lm")

SMALL: dict[str, dict[str, Any]] = {
    "bert": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 4},
    "llama": {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 24,
    },
    "unet": {"width": 4},
    "vit": {"patch_size": 3},
}
"""Parameters of models whose defaults are too large to be built often."""


def parameters(name: str) -> dict[str, Any]:
    return SMALL.get(name, {})


def batch(kind: str, rows: int, seed: int = 0) -> tuple[Tensor, ...]:
    """Inputs of one kind, deterministic."""
    return KINDS[kind].inputs(rows, torch.Generator().manual_seed(seed))


def accepted(name: str) -> list[str]:
    """Kinds whose facts satisfy the model's `FromData` parameters, and of which it has the head."""
    component = registry.get("model", name)
    signature = inspect.signature(component).parameters
    needed = {
        key for key in registry.parameters_from_data(component) if signature[key].default is inspect.Parameter.empty
    }
    listed = [kind for kind, that in KINDS.items() if name in that.models]
    if listed:
        return listed
    fitting = [kind for kind, that in KINDS.items() if needed <= set(that.facts) and not that.models]
    return [kind for kind in fitting if kind not in TEXT or _has_head(name, kind)]


def _has_head(name: str, kind: str) -> bool:
    try:
        registry.build("model", name, parameters(name), KINDS[kind].facts)
    except LamplighterError as error:
        assert KINDS[kind].facts["head"] in str(error) and "head" in str(error), f"{name}: {error}"
        return False
    return True


NAMES = [name for name in registry.names("model") if name != "own"]  # the caller's network: tests/test_own.py
CASES = [(name, kind) for name in NAMES for kind in accepted(name)]
TEXT_CASES = [(name, kind) for name, kind in CASES if kind in TEXT]


SLOW = {
    "deeplabv3_resnet50",
    "deeplabv3_resnet101",
    "resnet101",
    "resnext50_32x4d",
    "unet_resnet34",
    "unet_resnet50",
    "vit_b_16",
    "vit_b_32",
    "vit_l_16",
    "wide_resnet50_2",
}
"""Large networks of a class whose smaller ones are tested every time."""


def _marked(cases: list[tuple[str, str]]) -> list[Any]:
    return [pytest.param(*case, marks=[pytest.mark.slow] if case[0] in SLOW else []) for case in cases]


EVERY_CASE = pytest.mark.parametrize(("name", "kind"), _marked(CASES), scope="module")
"""The scope brings all tests of one model together, so that `_built` makes each large network once."""
EVERY_TEXT_CASE = pytest.mark.parametrize(("name", "kind"), TEXT_CASES, scope="module")


def build(name: str, kind: str) -> nn.Module:
    return copy.deepcopy(_built(name, kind))


@functools.lru_cache(maxsize=1)
def _built(name: str, kind: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: nn.Module = registry.build("model", name, parameters(name), KINDS[kind].facts)
    return model


@pytest.mark.parametrize("name", NAMES)
def test_model_accepts_some_kind_of_input(name: str) -> None:
    assert accepted(name), f"no facts in {__name__}.KINDS satisfy model '{name}'; add a kind of input there"


@EVERY_CASE
def test_output_is_one_row_of_scores_for_each_input_row(name: str, kind: str) -> None:
    model = build(name, kind).eval()
    for rows in (1, 5):
        output = model(*batch(kind, rows))
        assert output.shape == (rows, *KINDS[kind].shape)
        assert output.dtype == torch.float32
        assert torch.isfinite(output).all()


@EVERY_CASE
def test_one_training_step_reaches_every_parameter(name: str, kind: str) -> None:
    model = build(name, kind).train()
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scores = model(*batch(kind, 8)).movedim(KINDS[kind].classes, -1).flatten(0, -2)
    y = torch.arange(len(scores)) % scores.shape[-1]
    nn.functional.cross_entropy(scores, y).backward()
    assert [key for key, value in model.named_parameters() if value.grad is None] == []
    assert all(torch.isfinite(value.grad).all() for value in model.parameters() if value.grad is not None)
    optimizer.step()
    unchanged = [key for key, value in model.named_parameters() if torch.equal(value, before[key])]
    assert unchanged == []


@EVERY_CASE
def test_eval_mode_is_deterministic(name: str, kind: str) -> None:
    model = build(name, kind).eval()
    x = batch(kind, 4)
    assert torch.equal(model(*x), model(*x))


@EVERY_CASE
def test_a_row_does_not_depend_on_its_batch(name: str, kind: str) -> None:
    model = build(name, kind).double()  # statistics of few positions magnify the rounding of float32
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.momentum = 1.0  # one batch gives the running statistics that many would
    model.train()(*batch(kind, 16, seed=1))
    model.eval()
    x = batch(kind, 5)
    together = model(*x)
    for i in range(5):
        torch.testing.assert_close(model(*(part[i : i + 1] for part in x))[0], together[i], rtol=1e-8, atol=1e-8)
    assert (together[0] - together[1]).abs().max() > 1e-4, "the output ignores the input"


@EVERY_CASE
def test_head_of_the_features_is_the_output(name: str, kind: str) -> None:
    model: Any = build(name, kind).eval()
    x = batch(kind, 3)
    if KINDS[kind].shape == (CLASSES,):
        features = model.forward_features(*x)
        assert features.ndim == 2 and features.shape[0] == 3
    elif kind in TEXT:
        features = model.hidden(*x)
        assert features.shape[:2] == (3, LENGTH)
    else:
        pytest.skip("the last layer of this kind is not a head of features")
    torch.testing.assert_close(model.head(features), model(*x), rtol=0, atol=0)


@EVERY_CASE
def test_the_state_dict_is_the_whole_model(name: str, kind: str) -> None:
    model, twin = build(name, kind), registry.build("model", name, parameters(name), KINDS[kind].facts)
    model.train()(*batch(kind, 16, seed=1))
    twin.load_state_dict(model.state_dict(), strict=True)
    x = batch(kind, 4)
    assert torch.equal(model.eval()(*x), twin.eval()(*x))


VISION_CASES = [(name, kind) for name, kind in CASES if kind in ("image", "patches", "segmentation") and name != "mlp"]
EVERY_VISION_CASE = pytest.mark.parametrize(("name", "kind"), _marked(VISION_CASES), scope="module")


@EVERY_VISION_CASE
def test_feature_maps_go_from_fine_to_coarse(name: str, kind: str) -> None:
    model: Any = build(name, kind).eval()
    (x,) = batch(kind, 2)
    maps = model.features(x)
    assert len(maps) >= 2
    assert all(m.dim() == 4 and m.shape[0] == 2 for m in maps.values())
    positions = [m.shape[2] * m.shape[3] for m in maps.values()]
    assert positions == sorted(positions, reverse=True)
    if kind == "segmentation":
        assert torch.equal(model.decode(maps, (x.shape[2], x.shape[3])), model(x))


@EVERY_VISION_CASE
def test_images_of_another_kind_are_refused_by_name(name: str, kind: str) -> None:
    model: Any = build(name, kind).eval()
    (x,) = batch(kind, 2)
    with pytest.raises(LamplighterError, match="have 3 channels, the model was built with in_channels=2"):
        model(torch.cat([x, x[:, :1]], 1))
    with pytest.raises(LamplighterError, match=r"expects images \(N, C, H, W\)"):
        model(x[0])


@EVERY_VISION_CASE
def test_bytes_are_numbers(name: str, kind: str) -> None:
    model: Any = build(name, kind).eval()
    x = torch.randint(0, 256, batch(kind, 2)[0].shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model(x), model(x.float()))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [case for case in VISION_CASES if case[0] not in SLOW], scope="module")
def test_exports_with_every_number_of_images(name: str, kind: str, tmp_path: Any) -> None:
    """Of any number of rows; networks without positions also of any size."""
    import warnings

    import onnxruntime

    model = build(name, kind).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # away from zeros that hide a wrong branch
            parameter += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    (x,) = batch(kind, 3)
    fixed = name.startswith("vit")
    dims = dict.fromkeys((0,) if fixed else (0, 2, 3), torch.export.Dim.AUTO)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (x,), tmp_path / "m.onnx", opset_version=20, dynamo=True, dynamic_shapes=(dims,),
            external_data=False, verbose=False,
        )  # fmt: skip
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    for rows, height, width in ((1, 9, 12), (2, 33, 50), (6, 16, 7), (3, 1, 1)):
        size = x.shape[2:] if fixed else (height, width)
        other = torch.randn(rows, 2, *size, generator=torch.Generator().manual_seed(rows))
        expected = model(other).detach()
        (found,) = session.run(None, {session.get_inputs()[0].name: other.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


@EVERY_TEXT_CASE
def test_padding_changes_nothing(name: str, kind: str) -> None:
    """More padding behind, and other ids under it, leave what real tokens give; a mask of ones is no mask."""
    model = build(name, kind).eval()
    ids, real = batch(kind, 5)
    longer = torch.cat([ids, torch.full((5, 4), 7)], 1), torch.cat([real, torch.zeros(5, 4, dtype=torch.bool)], 1)
    expected, found = model(ids, real), model(*longer)
    if kind == "text-classifier":
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    else:
        torch.testing.assert_close(found[:, :LENGTH][real], expected[real], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model(ids, torch.ones_like(real)), model(ids), rtol=1e-5, atol=1e-6)


@EVERY_TEXT_CASE
def test_hidden_states_are_there_for_every_token(name: str, kind: str) -> None:
    model: Any = build(name, kind).eval()
    hidden = model.hidden(*batch(kind, 3))
    assert hidden.shape[:2] == (3, LENGTH) and hidden.dim() == 3


@EVERY_TEXT_CASE
def test_bad_tokens_are_refused_by_name(name: str, kind: str) -> None:
    model = build(name, kind).eval()
    ids, real = batch(kind, 3)
    blank = real.clone()
    blank[1] = False
    for inputs, complaint in (
        ((ids, blank), "row 1 of attention_mask is all padding"),
        ((ids[:, :0], real[:, :0]), "empty sequence"),
        ((ids, real[:, :-1]), "attention_mask is"),
        ((ids.index_fill(0, torch.tensor([2]), VOCABULARY), None), f"token id {VOCABULARY} .*vocab_size"),
        ((ids.index_fill(0, torch.tensor([0]), -1), None), "token id -1 .*vocab_size"),
    ):
        with pytest.raises(LamplighterError, match=complaint):
            model(*inputs)


@pytest.mark.slow
@EVERY_TEXT_CASE
def test_exports_with_every_number_of_rows_and_tokens(name: str, kind: str, tmp_path: Any) -> None:
    import warnings

    import onnxruntime

    model = build(name, kind).eval()
    dims = {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, batch(kind, 3), tmp_path / "m.onnx", opset_version=20, dynamo=True, dynamic_shapes=(dims, dims),
            external_data=False, verbose=False,
        )  # fmt: skip
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    names = [value.name for value in session.get_inputs()]
    for rows, length in ((1, 11), (6, 5), (2, 1), (3, 9)):
        inputs = [part[:, :length] for part in batch(kind, rows, seed=2)]
        found = session.run(None, {key: value.numpy() for key, value in zip(names, inputs)})[0]
        torch.testing.assert_close(torch.from_numpy(found), model(*inputs), rtol=1e-4, atol=1e-5)
