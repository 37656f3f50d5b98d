"""Every built-in component: kind -> name -> "module:attribute". A row here is all it takes to add one.

Nothing is imported until a recipe names it, so listing components never imports torch.
"""

from __future__ import annotations

CATALOG: dict[str, dict[str, str]] = {
    "source": {
        "digits": "lamplighter.data.sources.digits:Digits",
        "fashion-mnist": "lamplighter.data.sources.fashion_mnist:FashionMNIST",
        "image-folder": "lamplighter.data.sources.image_folder:ImageFolder",
        "image-table": "lamplighter.data.sources.image_table:ImageTable",
        "table": "lamplighter.data.sources.table:Table",
    },
    "preprocess": {
        "decode-image": "lamplighter.data.preprocessing.image:DecodeImage",
        "resize": "lamplighter.data.preprocessing.image:Resize",
        "stack-images": "lamplighter.data.preprocessing.image:StackImages",
        "encode-table": "lamplighter.data.preprocessing.table:EncodeTable",
    },
    "augment": {
        "random-flip": "lamplighter.data.augment.flip:RandomFlip",
        "random-shift": "lamplighter.data.augment.shift:RandomShift",
    },
    "model": {
        "cnn": "lamplighter.models.cnn:CNN",
        "mlp": "lamplighter.models.mlp:MLP",
    },
    "task": {
        "classification": "lamplighter.tasks.classification:Classification",
        "regression": "lamplighter.tasks.regression:Regression",
    },
    "optimizer": {
        "adamw": "lamplighter.optim.optimizers:adamw",
        "sgd": "lamplighter.optim.optimizers:sgd",
    },
    "schedule": {
        "constant": "lamplighter.optim.schedules:constant",
        "one-cycle": "lamplighter.optim.schedules:one_cycle",
    },
    "callback": {
        "early-stopping": "lamplighter.train.callbacks.early_stopping:EarlyStopping",
    },
    "format": {
        "onnx": "lamplighter.bundle.formats.onnx:write",
        "safetensors": "lamplighter.bundle.formats.safetensors:write",
    },
    "detector": {
        "univariate": "lamplighter.monitor.drift.univariate:Univariate",
        "mmd": "lamplighter.monitor.drift.mmd:MMD",
    },
    "sink": {
        "log": "lamplighter.monitor.sinks.log:LogSink",
        "webhook": "lamplighter.monitor.sinks.webhook:WebhookSink",
    },
}
