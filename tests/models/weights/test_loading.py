"""Loading by name: what fits, what does not, and that an error changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lamplighter import models
from lamplighter.core.errors import WeightsError
from lamplighter.models.weights.loading import head_of, load


def cnn(classes: int = 3, channels: int = 3, **options: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(classes + channels)
        return models.create("cnn", in_channels=channels, num_classes=classes, width=4, **options)


def same(model: nn.Module, tensors: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(tensor, tensors[name]) for name, tensor in model.state_dict().items())


def copies(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def changed(model: nn.Module) -> dict[str, Tensor]:
    """Its tensors, all different from those of a fresh model."""
    return {
        name: torch.full_like(tensor, 7) if not tensor.is_floating_point() else torch.rand_like(tensor) + 1
        for name, tensor in model.state_dict().items()
    }


def test_everything_is_copied_in_place() -> None:
    model = cnn()
    tensors, before = changed(model), dict(model.named_parameters())
    report = load(model, tensors)
    assert same(model, tensors)
    assert all(parameter is before[name] for name, parameter in model.named_parameters())
    assert report.complete and report.loaded == tuple(model.state_dict()) and report.new == ()


def test_type_and_memory_layout_of_the_model_stay() -> None:
    model = cnn().to(memory_format=torch.channels_last)
    tensors = {name: t.half() if t.is_floating_point() else t for name, t in changed(model).items()}
    load(model, tensors)
    assert model.stem.conv.weight.dtype == torch.float32
    assert model.stem.conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(model.stem.conv.weight, tensors["stem.conv.weight"].float())


def test_a_new_head_keeps_its_values_whether_or_not_the_classes_are_as_many() -> None:
    for classes in (3, 5):
        model = cnn(classes)
        head = model.head.weight.detach().clone()
        report = load(model, changed(cnn(3)), head="new")
        assert torch.equal(model.head.weight, head)
        assert report.new == ("head.weight", "head.bias")
        assert report.complete


def test_a_head_of_other_classes_cannot_be_kept() -> None:
    model = cnn(5)
    before = copies(model)
    with pytest.raises(WeightsError, match="Only the head differs, it has other classes: take a new one") as caught:
        load(model, changed(cnn(3)))
    assert "head.weight 3x16 for 5x16" in str(caught.value)
    assert same(model, before)


def test_what_does_not_fit_is_named_and_changes_nothing() -> None:
    model = cnn()
    before, tensors = copies(model), changed(model)
    del tensors["stem.conv.weight"]
    tensors["stages.0.down.norm.bias"] = torch.zeros(99)
    tensors["stages.7.extra"] = torch.zeros(1)
    with pytest.raises(WeightsError) as caught:
        load(model, tensors, source="file.pt")
    assert str(caught.value).splitlines() == [
        "file.pt: does not fit the model (strict):",
        f"  loaded: {len(before) - 2}: stem.norm.weight, stem.norm.bias, stem.norm.running_mean, "
        f"stem.norm.running_var and {len(before) - 6} more",
        "  other shape: 1: stages.0.down.norm.bias 99 for 8",
        "  missing in the file: 1: stem.conv.weight",
        "  left over: 1: stages.7.extra",
        "Choose the model these weights are of, leave names out with ignore, or load what fits with strict: false",
    ]
    assert same(model, before)


def test_without_strict_what_fits_is_loaded_and_the_rest_reported() -> None:
    model = cnn()
    before, tensors = copies(model), changed(model)
    del tensors["stem.conv.weight"]
    tensors["stages.0.down.norm.bias"] = torch.zeros(99)
    tensors["stages.7.extra"] = torch.zeros(1)
    report = load(model, tensors, strict=False)
    assert report.missing == ("stem.conv.weight",)
    assert report.mismatched == {"stages.0.down.norm.bias": ((99,), (8,))}
    assert report.unexpected == ("stages.7.extra",)
    assert not report.complete
    for name, tensor in model.state_dict().items():
        kept = name in ("stem.conv.weight", "stages.0.down.norm.bias")
        assert torch.equal(tensor, before[name] if kept else tensors[name]), name
    shown = str(report)
    assert "other shape" in shown and "stages.0.down.norm.bias 99 for 8" in shown
    assert report.to_dict()["loaded"] == len(report.loaded)


def test_ignored_names_are_left_out_and_not_missed() -> None:
    model = cnn()
    before, tensors = copies(model), changed(model)
    tensors["aux.fc.weight"] = torch.zeros(2)
    report = load(model, tensors, ignore=("stem.*", "aux.*"))
    assert "stem.conv.weight" in report.ignored and "aux.fc.weight" in report.ignored
    assert torch.equal(model.stem.conv.weight, before["stem.conv.weight"])
    assert torch.equal(model.head.weight, tensors["head.weight"])


def test_counters_may_be_missing_as_in_old_files() -> None:
    model = cnn()
    tensors = {name: t for name, t in changed(model).items() if not name.endswith("num_batches_tracked")}
    assert load(model, tensors).complete
    only = {name: t for name, t in changed(model).items() if name.endswith("num_batches_tracked")}
    with pytest.raises(WeightsError, match="no tensor has a name of the model"):
        load(cnn(), only)


def test_a_tied_tensor_need_not_be_in_the_file_twice() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(5, 3)
            self.head = nn.Linear(3, 5, bias=False)
            self.head.weight = self.embedding.weight

    model = Tied()
    assert load(model, {"embedding.weight": torch.ones(5, 3)}).complete
    assert torch.equal(model.head.weight, torch.ones(5, 3))


def test_a_file_of_something_else_is_refused_with_near_names() -> None:
    tensors = {"stems.conv.weight": torch.zeros(1), "attn.qkv.weight": torch.zeros(1)}
    with pytest.raises(WeightsError) as caught:
        load(cnn(), tensors, strict=False, source="vit.pt")
    said = str(caught.value)
    assert said.startswith("vit.pt: no tensor has a name of the model. It has stems.conv.weight, attn.qkv.weight;")
    assert "'stems.conv.weight' is near the model's 'stem.conv.weight'" in said


def test_the_same_names_with_other_shapes_are_refused_as_such() -> None:
    with pytest.raises(WeightsError, match=r"no tensor has the model's shape; 'stem\.conv\.weight' is 8x3x3x3"):
        load(cnn(), models.create("cnn", in_channels=3, num_classes=3, width=8).state_dict(), head="new", strict=False)


@pytest.mark.parametrize(("theirs", "ours"), [(3, 1), (1, 3), (3, 4), (4, 3), (3, 6), (2, 5)])
def test_another_number_of_channels_gives_the_same_on_gray_images(theirs: int, ours: int) -> None:
    """The first convolution is adapted such that an image whose channels are all equal gives what it gave."""
    reference, model = cnn(channels=theirs).double().eval(), cnn(channels=ours).double().eval()
    report = load(model, reference.state_dict())
    assert len(report.notes) == 1 and report.notes[0].startswith(f"stem.conv.weight: {theirs} channels in the file")
    gray = torch.rand(2, 1, 9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = reference(gray.expand(-1, theirs, -1, -1))
    torch.testing.assert_close(model(gray.expand(-1, ours, -1, -1)), expected, rtol=1e-12, atol=1e-12)


def test_only_the_first_convolution_is_adapted() -> None:
    model = cnn()
    tensors = changed(model)
    tensors["stages.0.down.conv.weight"] = torch.rand(8, 9, 3, 3)
    with pytest.raises(WeightsError, match=r"stages\.0\.down\.conv\.weight 8x9x3x3 for 8x4x3x3"):
        load(model, tensors)


def test_the_head_is_found_where_no_attribute_says_it() -> None:
    last = nn.Linear(3, 2)
    assert head_of(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), last, nn.Softmax(1))) is last
    assert head_of(cnn().double()).out_features == 3  # type: ignore[union-attr]
    alone = nn.ReLU()
    assert head_of(alone) is alone


def test_wrapped_and_compiled_tensors_load() -> None:
    model = cnn()
    tensors = changed(model)
    assert load(model, {f"module.model._orig_mod.{name}": tensor for name, tensor in tensors.items()}).complete
    assert same(model, tensors)
