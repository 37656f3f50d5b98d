"""Squeeze and excitation: channels weighted by what the whole map shows."""

from __future__ import annotations

from torch import Tensor, nn


class SqueezeExcitation(nn.Module):
    """x * gate(W2 act(W1 mean(x) + b1) + b2) for each channel (Hu et al. 2018, "Squeeze-and-Excitation Networks").

    Names of the parts are torchvision's.

    Args:
        in_channels: channels of input and output.
        squeeze_channels: units between the two layers.
        activation: class after the first layer.
        gate: class after the second layer, whose values lie between 0 and 1; MobileNetV3 takes the hard sigmoid.

    Shapes:
        (N, in_channels, H, W) -> (N, in_channels, H, W)
    """

    def __init__(
        self,
        in_channels: int,
        squeeze_channels: int,
        activation: type[nn.Module] = nn.ReLU,
        gate: type[nn.Module] = nn.Sigmoid,
    ) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(in_channels, squeeze_channels, 1)
        self.fc2 = nn.Conv2d(squeeze_channels, in_channels, 1)
        self.activation = activation()
        self.gate = gate()

    def forward(self, x: Tensor) -> Tensor:
        scale_NC11 = self.gate(self.fc2(self.activation(self.fc1(self.avgpool(x)))))
        scaled: Tensor = scale_NC11 * x
        return scaled
