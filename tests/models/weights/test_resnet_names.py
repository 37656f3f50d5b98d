"""ResNets saved by transformers and timm load, and compute the same."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
import transformers
from torch import Tensor, nn

from lamplighter import models
from lamplighter.core.errors import WeightsError
from lamplighter.models.resnet import ResNet
from lamplighter.models.weights.resnet_names import HUGGING_FACE, from_huggingface
from lamplighter.nn.residual import BasicBlock, Bottleneck


def randomised(model: nn.Module) -> nn.Module:
    """Everything random, in float64."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.double().state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif tensor.is_floating_point():
                scale = tensor[0].numel() ** -0.5 if tensor.dim() > 1 else 1.0
                tensor.copy_(scale * torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype))
    return model.eval()


def images() -> Tensor:
    return torch.randn(2, 3, 37, 44, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def relative(ours: Tensor, reference: Tensor) -> float:
    return float((ours - reference).detach().abs().max() / reference.detach().abs().max())


def huggingface(layer: str, depths: tuple[int, ...], **options: Any) -> nn.Module:
    wide = 4 if layer == "bottleneck" else 1
    config = transformers.ResNetConfig(
        layer_type=layer,
        embedding_size=64,
        hidden_sizes=[wide * 64 * 2**i for i in range(4)],
        depths=list(depths),
        num_labels=5,
        **options,
    )
    return randomised(transformers.ResNetForImageClassification(config))


@pytest.mark.parametrize(("layer", "block"), [("basic", BasicBlock), ("bottleneck", Bottleneck)])
def test_transformers_resnet_loads_and_computes_the_same(layer: str, block: Any) -> None:
    depths = (2, 1, 2, 1)
    reference = huggingface(layer, depths)
    ours = ResNet(block, depths, in_channels=3, num_classes=5).double().eval()
    report = models.load_reference(ours, reference.state_dict())
    assert report.layout == "Hugging Face"
    assert report.complete and len(report.loaded) == len(ours.state_dict())
    assert relative(ours(images()), reference(images()).logits) <= 1e-10


def test_a_bare_resnet_model_loads_but_for_its_head() -> None:
    reference = huggingface("basic", (1, 1, 1, 1))
    ours = ResNet(BasicBlock, (1, 1, 1, 1), in_channels=3, num_classes=5).double().eval()
    with pytest.raises(WeightsError, match=r"missing in the file: 2: fc\.weight, fc\.bias"):
        models.load_reference(ours, reference.resnet.state_dict())
    from lamplighter.models.weights.loading import load

    assert load(ours, reference.resnet.state_dict(), head="new").complete
    theirs = reference.resnet(images()).pooler_output.flatten(1)
    assert relative(ours.forward_features(images()), theirs) <= 1e-10


def test_names_it_does_not_know_stay() -> None:
    assert set(from_huggingface({"conv1.weight": torch.zeros(1), "decoder.x": torch.zeros(1)})) == {
        "conv1.weight",
        "decoder.x",
    }


def test_a_config_under_which_the_same_tensors_compute_something_else_is_told() -> None:
    said = HUGGING_FACE.unlike({"model_type": "resnet", "downsample_in_bottleneck": True})
    assert said is not None and "downsample_in_bottleneck: True" in said
    assert HUGGING_FACE.unlike({"model_type": "resnet", "downsample_in_bottleneck": False}) is None
    assert HUGGING_FACE.unlike({"model_type": "resnet", "hidden_act": "gelu"}) is not None
    assert HUGGING_FACE.unlike({"model_type": "bert", "hidden_act": "gelu"}) is None
    strided = huggingface("bottleneck", (1, 1, 1, 1), downsample_in_bottleneck=True)
    ours = ResNet(Bottleneck, (1, 1, 1, 1), in_channels=3, num_classes=5).double().eval()
    models.load_reference(ours, strided.state_dict())  # the names cannot tell
    assert relative(ours(images()), strided(images()).logits) > 1e-3


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_timms_resnet_loads_and_computes_the_same(name: str) -> None:
    reference = randomised(timm.create_model(name, num_classes=6))
    ours = models.create(name, in_channels=3, num_classes=6).double().eval()
    report = models.load_reference(ours, reference.state_dict())
    assert report.layout == "the model's own names" and report.complete
    assert relative(ours(images()), reference(images())) <= 1e-10


def test_timms_resnet_d_is_another_network_and_refused() -> None:
    reference = timm.create_model("resnet18d", num_classes=6)
    ours = models.create("resnet18", in_channels=3, num_classes=6)
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        models.load_reference(ours, reference.state_dict())
    assert "missing in the file" in str(caught.value) and "conv1.weight" in str(caught.value)
    assert "left over" in str(caught.value) and "conv1.0.weight" in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in ours.state_dict().items())


def test_a_deeper_network_of_the_same_shapes_is_refused() -> None:
    """All tensors of ResNet-18 are in a file of ResNet-34, with their shapes; the function would be another."""
    deeper = models.create("resnet34", in_channels=3, num_classes=6).state_dict()
    with pytest.raises(WeightsError, match=r"left over: 96: layer1\.2"):
        models.load_reference(models.create("resnet18", in_channels=3, num_classes=6), deeper)
