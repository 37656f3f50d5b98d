"""The model zoo beside the implementations whose weights it loads: forward, training step, generation, attention.

    pip install 'lamplighter[oracles]'         # torchvision's, timm's, transformers' and smp's models
    python benchmarks/models.py                # writes benchmarks/results/models.json; some twenty minutes
    python benchmarks/models.py --only bert gpt2 --rounds 3

Both sides hold the same weights and compute the same batch in one process and one thread, in turn: ours, theirs,
theirs, ours, and so on. A figure is the median of the ratios of neighbouring pairs, so that a machine whose speed
drifts does not count. The training step is forward, backward and SGD with momentum; ``forward`` is without gradients,
in eval mode.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from torch import Tensor, nn

from lamplighter import models
from train_fashion import hardware

HERE = Path(__file__).resolve().parent
LENGTHS = (256, 512, 1024, 2048, 4096)
CLASSES = 100


@dataclass(frozen=True)
class Pair:
    """One model and its reference.

    Attributes:
        ours, theirs: make the models; the reference's weights are loaded into ours.
        inputs: what both take.
        call: runs the reference and gives one tensor of the shape of ours.
    """

    ours: Callable[[], nn.Module]
    theirs: Callable[[], nn.Module]
    inputs: Callable[[], tuple[Tensor, ...]]
    call: Callable[..., Tensor] = lambda model, *inputs: model(*inputs)


def images(rows: int, side: int) -> Callable[[], tuple[Tensor, ...]]:
    return lambda: (torch.randn(rows, 3, side, side, generator=torch.Generator().manual_seed(0)),)


def texts(rows: int, length: int, vocabulary: int) -> Callable[[], tuple[Tensor, ...]]:
    """Ids, and a mask with padding behind rows of different lengths."""

    def make() -> tuple[Tensor, ...]:
        ids = torch.randint(5, vocabulary, (rows, length), generator=torch.Generator().manual_seed(0))
        lengths = torch.linspace(length // 2, length, rows).long()
        return ids, torch.arange(length) < lengths[:, None]

    return make


def torchvision(name: str, rows: int = 4, side: int = 128, **keywords: Any) -> Pair:
    import torchvision as library

    return Pair(
        lambda: models.create(name, in_channels=3, num_classes=CLASSES, **keywords),
        lambda: getattr(library.models, name)(num_classes=CLASSES, **keywords),
        images(rows, side),
    )


def mobilenet_v1() -> Pair:
    import timm

    return Pair(
        lambda: models.create("mobilenet_v1", in_channels=3, num_classes=CLASSES),
        lambda: timm.create_model("mobilenetv1_100", num_classes=CLASSES),
        images(4, 128),
    )


def deeplab() -> Pair:
    from torchvision.models.segmentation import deeplabv3_resnet50

    return Pair(
        lambda: models.create("deeplabv3_resnet50", in_channels=3, num_classes=21),
        lambda: deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=21),
        images(2, 96),
        lambda model, x: model(x)["out"],
    )


def unet() -> Pair:
    import segmentation_models_pytorch as smp

    return Pair(
        lambda: models.create("unet_resnet18", in_channels=3, num_classes=4),
        lambda: smp.Unet("resnet18", encoder_weights=None, classes=4),
        images(4, 128),
    )


def bert() -> Pair:
    from transformers import BertConfig, BertForSequenceClassification

    sizes: dict[str, Any] = {"vocab_size": 8000, "num_hidden_layers": 4, "pad_token_id": 0}
    return Pair(
        lambda: models.create("bert", **sizes, num_classes=2, head="classifier"),
        lambda: BertForSequenceClassification(BertConfig(**sizes, num_labels=2)),
        texts(4, 128, 8000),
        lambda model, ids, mask: model(input_ids=ids, attention_mask=mask.long()).logits,
    )


def gpt2() -> Pair:
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes: dict[str, Any] = {"vocab_size": 8000, "n_layer": 4}
    return Pair(
        lambda: models.create("gpt2", **sizes, pad_token_id=0, num_classes=1, head="lm"),
        lambda: GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=1, eos_token_id=1)),
        texts(2, 128, 8000),
        lambda model, ids, mask: model(input_ids=ids, attention_mask=mask.long(), use_cache=False).logits,
    )


def llama() -> Pair:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes: dict[str, Any] = {
        "vocab_size": 8000,
        "hidden_size": 512,
        "intermediate_size": 1376,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
    }
    return Pair(
        lambda: models.create("llama", **sizes, pad_token_id=0, num_classes=1, head="lm"),
        lambda: LlamaForCausalLM(LlamaConfig(**sizes)),
        texts(2, 128, 8000),
        lambda model, ids, mask: model(input_ids=ids, attention_mask=mask.long(), use_cache=False).logits,
    )


PAIRS: dict[str, Callable[[], Pair]] = {
    "resnet18": lambda: torchvision("resnet18"),
    "resnet50": lambda: torchvision("resnet50", rows=2),
    "mobilenet_v1": mobilenet_v1,
    "mobilenet_v2": lambda: torchvision("mobilenet_v2"),
    "mobilenet_v3_small": lambda: torchvision("mobilenet_v3_small"),
    "mobilenet_v3_large": lambda: torchvision("mobilenet_v3_large"),
    "vit_b_16": lambda: torchvision("vit_b_16", rows=2, side=224),
    "deeplabv3_resnet50": deeplab,
    "unet_resnet18": unet,
    "bert": bert,
    "gpt2": gpt2,
    "llama": llama,
}


def alternately(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int) -> dict[str, float]:
    """Seconds of each, and the median ratio of pairs that ran one after the other."""
    times: tuple[list[float], list[float]] = ([], [])
    sides = (ours, theirs)
    for side in sides:
        side()
    for number in range(rounds):
        order = (0, 1) if number % 2 == 0 else (1, 0)
        for which in order:
            began = time.perf_counter()
            sides[which]()
            times[which].append(time.perf_counter() - began)
    ratio = statistics.median(a / b for a, b in zip(*times))
    return {"ours": statistics.median(times[0]), "theirs": statistics.median(times[1]), "ratio": ratio}


def measure(pair: Pair, rounds: int) -> dict[str, Any]:
    """Forward and training step of both, with the same weights."""
    torch.manual_seed(0)
    theirs = pair.theirs()
    ours = pair.ours()
    models.load_reference(ours, theirs.state_dict())
    inputs = pair.inputs()

    def forward(model: nn.Module, call: Callable[..., Tensor]) -> Callable[[], Tensor]:
        def run() -> Tensor:
            with torch.inference_mode():
                return call(model, *inputs)

        return run

    def step(model: nn.Module, call: Callable[..., Tensor]) -> Callable[[], None]:
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)

        def run() -> None:
            optimizer.zero_grad()
            output = call(model, *inputs)
            output.float().square().mean().backward()
            optimizer.step()

        return run

    plain: Callable[..., Tensor] = lambda model, *inputs: model(*inputs)  # noqa: E731
    sides = ((ours.eval(), plain), (theirs.eval(), pair.call))
    apart = float((forward(*sides[0])() - forward(*sides[1])()).abs().max())
    found: dict[str, Any] = {"largest difference": apart}
    found["forward"] = alternately(forward(*sides[0]), forward(*sides[1]), rounds)
    ours.train(), theirs.train()
    found["step"] = alternately(step(*sides[0]), step(*sides[1]), max(3, rounds // 2))
    return found


def generation(rounds: int, tokens: int = 20) -> dict[str, Any]:
    """GPT-2 small, greedy, with a cache: ours beside ``transformers``' generate; the ids must be equal."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    theirs = GPT2LMHeadModel(GPT2Config(pad_token_id=0)).eval()
    ours = models.create("gpt2", vocab_size=50257, pad_token_id=0, num_classes=1, head="lm").eval()
    models.load_reference(ours, theirs.state_dict())
    prompt = torch.randint(5, 50257, (1, 16), generator=torch.Generator().manual_seed(0))

    def hand() -> Tensor:
        result: Tensor = ours.generate(prompt, max_new_tokens=tokens)
        return result

    def library() -> Tensor:
        with torch.inference_mode():
            result: Tensor = theirs.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                min_new_tokens=tokens,
                max_new_tokens=tokens,
                do_sample=False,
            )
        return result

    equal = bool(torch.equal(hand(), library()))
    return {"tokens": tokens, "ids equal": equal, **alternately(hand, library, rounds)}


def attention_once(length: int, explicit: bool) -> dict[str, float]:
    """Time of one attention over a sequence, and what it added to the peak memory; runs in a process of its own."""
    from lamplighter.nn.attention import attend, attend_with_weights

    q, k, v = (torch.randn(1, 8, length, 64, generator=torch.Generator().manual_seed(i)) for i in range(3))
    small = q[:, :, :8]
    (attend_with_weights if explicit else attend)(small, small, small)
    before = _reset_peak()
    times = []
    with torch.inference_mode():
        for _ in range(5):
            began = time.perf_counter()
            (attend_with_weights if explicit else attend)(q, k, v)
            times.append(time.perf_counter() - began)
    return {"ms": 1000 * statistics.median(times), "peak_mb": (_status("VmHWM") - before) / 1024}


def _status(key: str) -> float:
    """Kilobytes of this process, as Linux counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(key)))


def _reset_peak() -> float:
    """Forget the peak so far (a child begins with its parent's); what is in memory now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def attention() -> list[dict[str, Any]]:
    """Time and memory against length: torch's fused kernel, and the path that returns the weights."""
    rows = []
    for length in LENGTHS:
        row: dict[str, Any] = {"length": length}
        for name, flag in (("fused", "0"), ("with weights", "1")):
            command = [sys.executable, __file__, "--attention", str(length), flag]
            result = subprocess.run(command, capture_output=True, text=True, check=True)
            row[name] = json.loads(result.stdout.splitlines()[-1])
        rows.append(row)
    return rows


def twin(rounds: int) -> dict[str, Any]:
    """MobileNet v1 beside the same network with full 3x3 convolutions: what depthwise-separable ones save."""
    x = images(1, 128)()[0]
    built = {
        name: models.create("mobilenet_v1", in_channels=3, num_classes=CLASSES, separable=separable).eval()
        for name, separable in (("separable", True), ("full", False))
    }
    found: dict[str, Any] = {}
    for name, model in built.items():
        summary = models.summary(model, x)
        found[name] = {"parameters": summary.params, "macs": summary.macs}

    def run(name: str) -> Callable[[], Tensor]:
        def once() -> Tensor:
            with torch.inference_mode():
                output: Tensor = built[name](x)
                return output

        return once

    found["time"] = alternately(run("separable"), run("full"), rounds)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[*PAIRS, "generation", "attention", "twin"])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--attention", nargs=2, metavar=("LENGTH", "EXPLICIT"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "models.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if arguments.attention:
        print(json.dumps(attention_once(int(arguments.attention[0]), arguments.attention[1] == "1")))
        return
    chosen = arguments.only or [*PAIRS, "generation", "attention", "twin"]
    result: dict[str, Any] = {"hardware": hardware(), "threads": 1, "command": "python benchmarks/models.py", "zoo": {}}
    for name in chosen:
        if name in PAIRS:
            found = result["zoo"][name] = measure(PAIRS[name](), arguments.rounds)
            print(f"{name:20} forward {found['forward']['ratio']:.3f}  step {found['step']['ratio']:.3f}", flush=True)
        else:
            work = {"generation": lambda: generation(arguments.rounds // 2), "attention": attention}
            work["twin"] = lambda: twin(2 * arguments.rounds)
            result[name] = work[name]()
            print(name, json.dumps(result[name]), flush=True)
    if result["zoo"]:
        for part in ("forward", "step"):
            result[f"median {part} ratio"] = statistics.median(found[part]["ratio"] for found in result["zoo"].values())
            print(f"median of the zoo, {part}: {result[f'median {part} ratio']:.3f}")
    if not arguments.only:
        arguments.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
