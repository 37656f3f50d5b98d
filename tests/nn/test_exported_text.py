"""What a bundle holds of a text model: the same answers, and the embedding whose head gives them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lamplighter.models import create
from lamplighter.nn.exported_text import ExportedTaggingNetwork, ExportedTextNetwork

IDS = torch.tensor([[3, 4, 5, 0], [6, 7, 8, 9]])
MASK = IDS > 0


def model(head: str) -> nn.Module:
    torch.manual_seed(0)
    made: nn.Module = create(
        "lstm", vocab_size=12, pad_token_id=0, num_classes=3, head=head, embedding_dim=6, hidden_size=5
    )
    return made.eval()


def test_a_classifier_and_its_embedding() -> None:
    own = model("classifier")
    logits, embedding = ExportedTextNetwork(own)(IDS, MASK)
    torch.testing.assert_close(logits, own(IDS, MASK))
    torch.testing.assert_close(own.head(embedding), logits)  # type: ignore[operator]
    assert embedding.shape == (2, 5)


def test_a_tagger_and_the_mean_of_its_real_tokens() -> None:
    own = model("tagger")
    logits, embedding = ExportedTaggingNetwork(own)(IDS, MASK)
    torch.testing.assert_close(logits, own(IDS, MASK))
    states = own.hidden(IDS, MASK)  # type: ignore[operator]
    torch.testing.assert_close(embedding[0], states[0, :3].mean(0))
    torch.testing.assert_close(embedding[1], states[1].mean(0))


class Plain(nn.Module):
    """A network of one's own, with nothing but a forward."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return (input_ids * attention_mask).sum(1, keepdim=True).float()


def test_a_network_of_ones_own_has_no_embedding() -> None:
    for network in (ExportedTextNetwork(Plain()), ExportedTaggingNetwork(Plain())):
        assert not network.embeds
        (logits,) = network(IDS, MASK)
        assert logits.tolist() == [[12.0], [30.0]]
