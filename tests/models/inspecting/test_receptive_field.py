"""The receptive field by calculation is the footprint of the gradient, on random stacks and on real networks."""

from __future__ import annotations

import random
import warnings

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from lamplighter import models
from lamplighter.core.errors import LamplighterError
from lamplighter.models.inspecting.reach import Axis
from lamplighter.models.inspecting.receptive_field import GriddingWarning, ReceptiveField

CENTRE = 300


class Window(nn.Module):
    """A pool's window with a gradient at every place, not at the largest alone."""

    def __init__(self, k: int, stride: int, padding: int, dilation: int) -> None:
        super().__init__()
        self.settings = {"stride": stride, "padding": padding, "dilation": dilation}
        self.k = k

    def forward(self, x: Tensor) -> Tensor:
        return F.conv1d(x, torch.ones(1, 1, self.k, dtype=x.dtype), **self.settings)  # type: ignore[arg-type]


class Branches(nn.Module):
    """Two stacks whose outputs are added."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        first, second = (branch(x) for branch in self.branches)
        return first + second


def footprint(network: nn.Module, size: int = 600) -> tuple[int, int, int]:
    """Extent, number of touched positions, and shift from one output to the next: by gradients, weights positive."""
    network = network.double()
    for parameter in network.parameters():
        nn.init.ones_(parameter)
    touched = []
    for step in (0, 1):
        x = torch.ones(1, 1, size, dtype=torch.float64, requires_grad=True)
        out = network(x)
        out[0, 0, out.shape[2] // 2 + step].backward()
        assert x.grad is not None
        touched.append(x.grad[0, 0].nonzero().flatten().tolist())
    return touched[0][-1] - touched[0][0] + 1, len(touched[0]), touched[1][0] - touched[0][0]


def calculated(network: nn.Module | list[nn.Module], input: Tensor | None = None) -> ReceptiveField:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GriddingWarning)
        return models.receptive_field(network, input)


def stack(rng: random.Random, depth: int, stride: bool = True) -> tuple[list[nn.Module], list[nn.Module]]:
    """Random layers; and the same with windows instead of max pools, for gradients."""
    ours: list[nn.Module] = []
    theirs: list[nn.Module] = []
    for _ in range(depth):
        k, s, d = rng.choice((1, 2, 3, 4, 5)), rng.choice((1, 1, 2, 3) if stride else (1,)), rng.choice((1, 2, 3))
        kind = rng.choice(("conv", "conv", "max", "avg"))
        p = rng.randint(0, k // 2)
        if kind == "conv":
            conv = nn.Conv1d(1, 1, k, s, padding=p, dilation=d, padding_mode=rng.choice(("zeros", "replicate")))
            ours.append(conv)
            theirs.append(conv)
        elif kind == "max":
            ours.append(nn.MaxPool1d(k, s, p, d))
            theirs.append(Window(k, s, p, d))
        else:
            ours.append(nn.AvgPool1d(k, s, p))
            theirs.append(ours[-1])
    return ours, theirs


@pytest.mark.parametrize("seed", range(60))
def test_random_stacks(seed: int) -> None:
    ours, theirs = stack(random.Random(seed), depth=1 + seed % 4)
    found = calculated(ours)
    assert (found.size[0], found.touched[0], found.stride[0]) == footprint(nn.Sequential(*theirs), 3000)


@pytest.mark.parametrize("seed", range(25))
def test_random_branches_that_meet(seed: int) -> None:
    """Both branches keep the size, so that they can be added; the union of what they see counts."""
    rng = random.Random(seed)

    def branch() -> nn.Module:
        settings = [(rng.choice((1, 3, 5)), rng.choice((1, 2, 3))) for _ in range(rng.randint(1, 3))]
        return nn.Sequential(*(nn.Conv1d(1, 1, k, padding=d * (k // 2), dilation=d) for k, d in settings))

    network = nn.Sequential(nn.Conv1d(1, 1, 3, stride=2), Branches(branch(), branch()), nn.Conv1d(1, 1, 3))
    found = calculated(network)
    assert (found.size[0], found.touched[0], found.stride[0]) == footprint(network)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("setting", [(3, "same"), (4, "same"), (5, "valid")])
def test_padding_by_name_meets_a_shortcut(setting: tuple[int, str]) -> None:
    k, padding = setting
    crop = nn.Identity() if padding == "same" else nn.ConstantPad1d((-2, -2), 0.0)
    network = nn.Sequential(Branches(nn.Conv1d(1, 1, k, padding=padding), crop), nn.Conv1d(1, 1, 2, dilation=3))
    found = calculated(network)
    assert (found.size[0], found.touched[0], found.stride[0]) == footprint(network)


def test_a_pad_shifts_what_a_branch_sees() -> None:
    """The cropped branch sees the position in between that the dilated one leaves out."""
    network = nn.Sequential(Branches(nn.Conv1d(1, 1, 2, dilation=3), nn.ConstantPad1d((-1, -2), 0.0)))
    found = calculated(network, torch.zeros(1, 1, 600))
    assert (found.size[0], found.touched[0], found.stride[0]) == footprint(network) == (4, 3, 1)


def test_gridding_is_warned_of_for_2_2_2_and_not_for_1_2_5() -> None:
    with pytest.warns(GriddingWarning, match="only 7 of 13 positions"):
        found = models.receptive_field([nn.Conv1d(1, 1, 3, dilation=2) for _ in range(3)])
    assert found.gridding and found.size == (13,) and found.touched == (7,)
    fine = models.receptive_field([nn.Conv2d(1, 1, 3, dilation=d) for d in (1, 2, 5)])  # warnings are errors here
    assert not fine.gridding and fine.size == fine.touched == (17, 17)
    assert models.receptive_field([nn.Conv1d(1, 1, 3, dilation=d) for d in (1, 2, 4)]).size == (15,)  # topic 36


@pytest.mark.parametrize(
    ("name", "size", "stride"), [("resnet18", 435, 32), ("mobilenet_v2", 491, 32), ("vgg16", 212, 32)]
)
def test_published_sizes(name: str, size: int, stride: int) -> None:
    """VGG-16's is the 212 of Araujo et al. 2019 ("Computing Receptive Fields"). ResNet-18's by hand: 7, 11 after the
    pool, four 3x3 convolutions at stride 4 make 43; then the first of four still at the old stride: 99, 211, 435."""
    with torch.device("meta"):
        network = getattr(torchvision.models, name)()
    found = models.receptive_field(network, torch.zeros(1, 3, 224, 224))
    assert (found.size, found.stride) == ((size, size), (stride, stride))


def test_of_a_real_network_by_its_gradient() -> None:
    network = models.create("cnn", in_channels=2, num_classes=3, width=4).double().eval()
    x = torch.rand(1, 2, 96, 96, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for name, parameter in network.named_parameters():
        nn.init.ones_(parameter) if not name.endswith("bias") else nn.init.zeros_(parameter)
    map_ = network.stages(network.stem(x))
    map_[0, 0, 12, 12].backward()
    assert x.grad is not None
    rows, columns = x.grad[0].sum(0).nonzero().amax(0) - x.grad[0].sum(0).nonzero().amin(0) + 1
    found = models.receptive_field(network, torch.zeros(1, 2, 96, 96))
    assert found.size == (int(rows), int(columns)) and found.stride == (4, 4)
    assert next(iter(network.parameters())).device.type == "cpu"


def test_of_a_u_net_it_is_that_of_the_lowest_map_and_not_of_the_skips() -> None:
    found = models.receptive_field(models.create("unet", in_channels=1, num_classes=2, width=4, depth=2))
    assert found.layers[-1].name.startswith("down") and found.stride == (4, 4)
    assert found.size == (5 + 1 + 2 * 4 + 2 + 4 * 4,) * 2  # two 3x3, a pool, two 3x3 at 2, a pool, two at 4


def test_global_context_is_not_counted() -> None:
    network = models.create("mobilenet_v3_small", in_channels=3, num_classes=2)  # with squeeze and excitation
    assert models.receptive_field(network, torch.zeros(1, 3, 224, 224)).size[0] < 1000


def test_layers_and_text() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, (3, 5), stride=(1, 2)), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(144, 2)
    )
    found = models.receptive_field(network, torch.zeros(1, 3, 20, 20))
    assert [(layer.name, layer.size, layer.stride) for layer in found.layers] == [
        ("0", (3, 5), (1, 2)),
        ("2", (4, 7), (2, 4)),
    ]
    assert str(found) == "receptive field 4 x 7, stride 2 x 4"


def test_branches_that_step_differently_are_not_followed_further() -> None:
    assert Axis(1, (0, 2)).union(Axis(1, (1,))) == Axis(1, (0, 1, 2))
    assert Axis(1, (0,)).union(Axis(2, (0,))) is None
    assert Axis(2, (0, 1)).window(3, 2, 1, 1) == Axis(4, (-2, -1, 0, 1, 2, 3))


def test_what_has_no_positions_is_refused() -> None:
    with pytest.raises(LamplighterError, match="neither a convolution nor a pool"):
        models.receptive_field(nn.Linear(3, 3))
    with pytest.raises(LamplighterError, match="no layer gave a map"):
        models.receptive_field(nn.Linear(3, 3), torch.zeros(2, 3, 3))
