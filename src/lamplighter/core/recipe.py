"""The recipe: one YAML file from which everything else follows.

`Recipe.load` reports all mistakes of a file at once, each with path, line and the nearest known word.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

from lamplighter.core import files, registry, yaml
from lamplighter.core.errors import LamplighterError, MissingExtraError, RecipeError, UnknownComponentError
from lamplighter.core.search_space import Parameter

Section = TypeVar("Section", bound=BaseModel)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Component(BaseModel):
    """``{name: cnn, width: 32}``: a registered name and its parameters."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str

    @property
    def params(self) -> dict[str, Any]:
        """Everything but the name (and, in ``data``, the loader's own keys)."""
        return dict(self.model_extra or {})

    def replace(self, **params: Any) -> Component:
        """A copy with some parameters changed or added."""
        return type(self).model_validate({**self.model_dump(), **params})


def _auto_or_component(value: Any) -> str | None:
    if value == "auto":
        return "auto"
    return "component" if isinstance(value, dict | Component) else None


AutoComponent = Annotated[
    Annotated[Literal["auto"], Tag("auto")] | Annotated[Component, Tag("component")],
    Discriminator(
        _auto_or_component,
        custom_error_type="auto_component",
        custom_error_message="must be auto, or a mapping with a name and parameters",
    ),
]
"""``auto``, or a component: the type of a constructor parameter that names a component, such as a task's ``loss``."""


class Data(Component):
    """Where rows come from and how many make a batch. Further keys belong to the source."""

    batch_size: Annotated[
        int, Field(gt=0, description="rows that go through the network at once, in all processes")
    ] = 128
    split_seed: Annotated[int | None, Field(ge=0, description="of the split; null: the recipe's seed")] = None


class Monitored(_Section):
    """The validation metric that decides which epoch is best."""

    metric: str
    mode: Literal["min", "max"]


class Rate(_Section):
    """A learning rate of their own for the parameters whose name begins with ``match``."""

    match: Annotated[str, Field(min_length=1, description="first part of dotted parameter names: model.stem")]
    factor: Annotated[float, Field(ge=0, description="multiplies the learning rate")]


class Sam(_Section):
    """Sharpness-aware minimisation: each step learns from the worst point nearby."""

    rho: Annotated[float, Field(gt=0, description="how far away the worst point is looked for")] = 0.05


class Train(_Section):
    """How long, with what, and how precisely to train."""

    epochs: Annotated[int, Field(gt=0)] = 10
    max_steps: Annotated[int | None, Field(gt=0, description="optimizer steps at most; null: no limit")] = None
    max_time: Annotated[float | None, Field(gt=0, description="seconds of training at most; null: no limit")] = None
    optimizer: Component = Component.model_validate({"name": "adamw"})
    optimizers: Annotated[
        dict[str, Component], Field(description="for tasks with several optimizers: other settings for some, by name")
    ] = {}
    schedule: Component = Component.model_validate({"name": "one-cycle"})
    restarts: Annotated[
        tuple[Annotated[int, Field(gt=0)], ...],
        Field(description="epochs after which the schedule starts over; written when a finished run goes on"),
    ] = ()
    layer_decay: Annotated[
        float, Field(gt=0, le=1, description="learning rate of each block as a share of the next one's")
    ] = 1.0
    rates: Annotated[tuple[Rate, ...], Field(description="learning rates of their own for parts of the network")] = ()
    clip: Annotated[Component | None, Field(description="limits gradients before each step; null: not")] = None
    sam: Annotated[Sam | None, Field(description="sharpness-aware minimisation; null: not")] = None
    non_finite: Annotated[
        Literal["raise", "skip"], Field(description="a loss or gradient that is not finite: stop, or skip the step")
    ] = "raise"
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"], Field(description="auto measures fp32 and bf16 and takes the faster")
    ] = "auto"
    channels_last: Annotated[
        bool | None, Field(description="memory layout of images; null: decided with the precision")
    ] = None
    compile: Annotated[bool, Field(description="torch.compile the networks; pays on GPUs and in long runs")] = False
    strategy: Annotated[
        Literal["auto", "single", "ddp", "fsdp"],
        Field(description="auto: ddp when torchrun started several processes, else single"),
    ] = "auto"
    accumulate: Annotated[int, Field(gt=0, description="micro-batches in one optimizer step")] = 1
    validate_every: Annotated[int, Field(gt=0, description="epochs from one validation to the next")] = 1
    validate_steps: Annotated[
        int | None, Field(gt=0, description="validate after so many optimizer steps, too; for long epochs")
    ] = None
    checkpoint_steps: Annotated[
        int | None, Field(gt=0, description="save after so many optimizer steps, too; for long epochs")
    ] = None
    monitor: Annotated[Monitored | None, Field(description="null: the task's own choice")] = None
    metrics: Annotated[tuple[Component, ...], Field(description="computed besides the task's own")] = ()
    callbacks: tuple[Component, ...] = ()


class Transfer(_Section):
    """Begin with weights that were trained elsewhere."""

    weights: Annotated[
        str, Field(min_length=1, description="a file, a folder, a finished run, or a name of `lamp weights list`")
    ]
    sha256: Annotated[
        str | None, Field(pattern="^[0-9a-fA-F]{64}$", description="null: what the file has, written down by the run")
    ] = None
    head: Annotated[
        Literal["new", "keep"], Field(description="the last layer: a new one, or the one of the weights")
    ] = "new"
    strict: Annotated[
        bool, Field(description="refuse unless all of the network but a new head is loaded and nothing is left over")
    ] = True
    ignore: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...], Field(description="patterns of tensors to leave out: fc.*")
    ] = ()
    input_norm: Annotated[
        Literal["auto", "checkpoint", "data", "imagenet"],
        Field(description="how inputs are scaled; auto: as where the weights were trained if the file says it"),
    ] = "auto"
    freeze_up_to: Annotated[
        Annotated[int, Field(ge=0)] | str,
        Field(description="blocks that never learn: how many, the name of the last, or head for all below the head"),
    ] = 0


def _known_format(name: str) -> str:
    known = registry.names("format")
    if name not in known:
        raise ValueError(f"must be one of {', '.join(known)}{registry.did_you_mean(name, known)}")
    return name


class BundleOptions(_Section):
    """What is written into the bundle."""

    version: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9._-]+$", description="null: the run's number")] = None
    reference: Annotated[
        Literal["rows", "summary"], Field(description="summary keeps no rows of the data, only histograms and counts")
    ] = "rows"
    calibrate: Annotated[bool, Field(description="fit a softmax temperature on the validation split")] = True
    threshold: Annotated[
        Component | None,
        Field(description="of two classes: how the probability is chosen from which the positive one is answered"),
    ] = None
    formats: Annotated[
        tuple[Annotated[str, AfterValidator(_known_format)], ...],
        Field(description="further formats by catalog name; onnx and safetensors are always written"),
    ] = ()


class Serve(_Section):
    """Limits of the server."""

    max_batch: Annotated[int, Field(gt=0, description="rows computed together at most")] = 32
    max_queue: Annotated[int, Field(gt=0, description="rows waiting at most; more are answered 503")] = 1024
    max_body_mb: Annotated[float, Field(gt=0, description="larger bodies are answered 413")] = 16
    deadline_seconds: Annotated[float, Field(gt=0, description="a request that waits longer is answered 504")] = 30
    threads: Annotated[int, Field(gt=0, description="compute threads of one model")] = 1


class Monitor(_Section):
    """When to raise an alarm, and where to send it."""

    alpha: Annotated[float, Field(gt=0, lt=1, description="family-wise error rate of one drift verdict")] = 0.05
    window: Annotated[int, Field(ge=20, description="predictions in one drift window")] = 200
    persistence: Annotated[int, Field(gt=0, description="windows in a row that must drift before an alert")] = 2
    min_effect: Annotated[float, Field(ge=0, description="smallest effect size worth an alarm")] = 0.1
    store: Annotated[str | None, Field(description="SQLAlchemy URL; null: a SQLite file beside the bundle")] = None
    detectors: tuple[Component, ...] = (
        Component.model_validate({"name": "univariate"}),
        Component.model_validate({"name": "mmd"}),
    )
    sinks: tuple[Component, ...] = (Component.model_validate({"name": "log"}),)


class Search(_Section):
    """Hyper-parameters to try, judged on the validation split; ``lamp search`` carries it out."""

    space: Annotated[
        dict[str, Parameter], Field(min_length=1, description="dotted key of this recipe -> values to try")
    ]
    sampler: Annotated[
        Literal["tpe", "random", "grid"], Field(description="tpe learns from the trials so far; grid tries everything")
    ] = "tpe"
    trials: Annotated[int, Field(gt=0, description="trainings; of a grid at most so many")] = 30
    pruner: Annotated[
        Literal["none", "median", "successive-halving", "hyperband"],
        Field(description="ends trials early that do worse than others did at their age"),
    ] = "none"
    metric: Annotated[Monitored | None, Field(description="null: train.monitor, or the task's own choice")] = None
    timeout: Annotated[float | None, Field(gt=0, description="seconds after which no trial begins")] = None
    storage: Annotated[
        str | None, Field(description="database URL, for many machines; null: a file in the search's folder")
    ] = None


class Recipe(_Section):
    """A validated recipe. Frozen: change it with `with_`.

    >>> recipe = Recipe.parse("{name: demo, data: {name: digits}, model: {name: mlp}, task: {name: classification}}")
    >>> recipe.train.epochs, recipe.model.name
    (10, 'mlp')
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="names the run and the bundle")]
    seed: Annotated[int, Field(ge=0)] = 0
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    threads: Annotated[int | Literal["auto"], Field(description="compute threads of training")] = "auto"
    data: Data
    augment: tuple[Component, ...] = ()
    model: Component
    task: Component
    transfer: Annotated[Transfer | None, Field(description="null: all weights start at random")] = None
    train: Train = Train()
    bundle: BundleOptions = BundleOptions()
    serve: Serve = Serve()
    monitor: Monitor = Monitor()
    search: Annotated[Search | None, Field(description="null: nothing to search")] = None

    @classmethod
    def load(cls, path: str | Path, set: list[str] | None = None) -> Recipe:
        """Read a recipe file or a built-in recipe by name.

        Args:
            path: a file, or the name of a built-in recipe (``lamp recipes`` lists them).
            set: overrides such as ``"train.epochs=3"``.

        Raises:
            RecipeError: with one line for each problem.
        """
        return cls.from_document(yaml.load(find(path)), set or [])

    @classmethod
    def parse(cls, text: str, set: list[str] | None = None) -> Recipe:
        """A recipe from YAML text."""
        return cls.from_document(yaml.parse(text), set or [])

    @classmethod
    def from_document(cls, document: yaml.Document, overrides: list[str]) -> Recipe:
        """Validate a parsed document after applying ``--set`` overrides."""
        if not isinstance(document.data, dict):
            raise RecipeError([f"{document.source}: a recipe is a mapping with name, data, model and task"])
        data = json.loads(json.dumps(document.data))
        overridden: list[yaml.Path_] = []
        problems: list[tuple[int, str]] = []
        for override in overrides:
            try:
                overridden.append(apply_override(data, override))
            except RecipeError as error:
                problems += [(0, line) for line in error.problems]
        found, recipe = validate(cls, data)
        for path, message in found:
            from_set = any(path[: len(o)] == o or o[: len(path)] == path for o in overridden)
            known = path in document.lines and not from_set
            where = document.where(path) if known or not from_set else "--set"
            line = int(where.rpartition(":")[2]) if where.rpartition(":")[2].isdigit() else 0
            dotted = ".".join(map(str, path))
            problems.append((line, f"{where}: {dotted}: {message}" if dotted else f"{where}: {message}"))
        if problems or recipe is None:
            raise RecipeError([text for _, text in sorted(problems, key=lambda item: item[0])])
        return recipe

    def with_(self, **sections: Any) -> Recipe:
        """A copy with some top-level keys replaced; validated again."""
        found, recipe = validate(type(self), {**self.to_dict(), **_plain(sections)})
        if recipe is None:
            raise RecipeError([f"{'.'.join(map(str, path))}: {message}" for path, message in found])
        return recipe

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-compatible data with every default written out."""
        return self.model_dump(mode="json")

    def save(self, path: Path) -> None:
        """Write the recipe, whole, with every default and decision written out."""
        files.write_text(path, yaml.dump(self.to_dict()))


KIND_AT: dict[tuple[str, ...], str] = {
    ("data",): "source",
    ("augment", "*"): "augment",
    ("model",): "model",
    ("task",): "task",
    ("task", "loss"): "loss",
    ("task", "of"): "task",
    ("task", "of", "loss"): "loss",
    ("task", "members", "*", "model"): "model",
    ("task", "members", "*", "task"): "task",
    ("task", "members", "*", "task", "loss"): "loss",
    ("train", "optimizer"): "optimizer",
    ("train", "optimizers", "*"): "optimizer",
    ("train", "clip"): "clip",
    ("train", "schedule"): "schedule",
    ("train", "metrics", "*"): "metric",
    ("train", "callbacks", "*"): "callback",
    ("bundle", "threshold"): "threshold",
    ("monitor", "detectors", "*"): "detector",
    ("monitor", "sinks", "*"): "sink",
}
"""Where in a recipe a component stands, and of which kind it must be."""


def builtin() -> dict[str, Path]:
    """Built-in recipes: name -> file."""
    folder = Path(__file__).parent.parent / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find(path: str | Path) -> Path:
    """A recipe's file by path or built-in name.

    Raises:
        RecipeError: neither a file nor a built-in name.
    """
    text = str(path)
    if text in builtin() and not Path(text).is_file():
        return builtin()[text]
    if not Path(text).exists():
        hint = registry.did_you_mean(text, list(builtin()))
        raise RecipeError([f"{text}: no such file, and no built-in recipe of that name{hint}; see 'lamp recipes'"])
    return Path(text)


def apply_override(data: dict[str, Any], override: str) -> yaml.Path_:
    """Set one ``a.b=value`` in place; return its path. In a list, the key is an index; one past the end appends.

    Raises:
        RecipeError: one line that begins with ``--set``.

    >>> data = {"sinks": [{"name": "log"}]}
    >>> apply_override(data, "sinks.0.level=error"), data
    (('sinks', 0, 'level'), {'sinks': [{'name': 'log', 'level': 'error'}]})
    """
    dotted, separator, text = override.partition("=")
    if not separator or not dotted:
        raise RecipeError([f"--set {override}: write it as key.key=value"])
    try:
        value = yaml.parse_value(text)
    except RecipeError as error:
        raise RecipeError([f"--set {override}: {error}"]) from None
    path: list[str | int] = []
    node: Any = data
    keys = dotted.split(".")
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(node, list):
            if not key.isdigit() or int(key) > len(node):
                raise RecipeError([f"--set {override}: '{key}' is not an index up to {len(node)}"])
            step: str | int = int(key)
            if step == len(node):
                node.append({})
        elif isinstance(node, dict):
            step = key
        else:
            raise RecipeError([f"--set {override}: '{'.'.join(keys[:depth])}' is a single value, it has no keys"])
        path.append(step)
        if last:
            node[step] = value
        else:
            if isinstance(node, dict) and node.get(step) is None:
                node[step] = [] if keys[depth + 1].isdigit() else {}
            node = node[step]
    return tuple(path)


def validate(model: type[Section], data: dict[str, Any]) -> tuple[list[tuple[yaml.Path_, str]], Section | None]:
    """Check JSON-compatible data strictly: ``true`` and ``"2"`` are no numbers.

    Args:
        model: `Recipe`, or a model with some of its sections under the same names.
        data: what to check.

    Returns:
        All problems (path, message) of the static part and of every component; without any, the recipe with defaults
        filled in.
    """
    problems: list[tuple[yaml.Path_, str]] = []
    recipe: Section | None = None
    try:
        recipe = model.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        problems += [_static_problem(model, data, item) for item in error.errors()]
    filled = recipe.model_dump(mode="json") if recipe else data
    for path, kind in _components(filled):
        problems += _component_problems(filled, path, kind)
    seen: dict[yaml.Path_, str] = {}
    for path, message in problems:
        seen.setdefault(path, message)
    if seen:
        return list(seen.items()), None
    return [], model.model_validate_json(json.dumps(filled), strict=True)


def _components(data: dict[str, Any]) -> list[tuple[yaml.Path_, str]]:
    """Paths of every component present in ``data`` that has the shape of one."""
    found: list[tuple[yaml.Path_, str]] = []
    for pattern, kind in KIND_AT.items():
        nodes: list[tuple[yaml.Path_, Any]] = [((), data)]
        for step in pattern:
            following: list[tuple[yaml.Path_, Any]] = []
            for path, node in nodes:
                if step == "*" and isinstance(node, (list, dict)):
                    items = node.items() if isinstance(node, dict) else enumerate(node)
                    following += [((*path, key), item) for key, item in items]
                elif isinstance(node, dict) and step in node:
                    following.append(((*path, step), node[step]))
            nodes = following
        found += [(path, kind) for path, node in nodes if isinstance(node, dict) and isinstance(node.get("name"), str)]
    return found


def _component_problems(data: dict[str, Any], path: yaml.Path_, kind: str) -> list[tuple[yaml.Path_, str]]:
    """Validate one component in place: defaults are written into ``data``."""
    problems: list[tuple[yaml.Path_, str]] = []
    node: Any = data
    for step in path:
        node = node[step]
    own = set(Data.model_fields) if kind == "source" else {"name"}
    params = {key: value for key, value in node.items() if key not in own}
    try:
        arguments = registry.validate(kind, node["name"], params)
    except UnknownComponentError as error:
        return [((*path, "name"), str(error))]
    except MissingExtraError:
        raise
    except ValidationError as error:
        known = [*registry.schema(kind, node["name"]).model_fields, *own]
        for item in error.errors():
            steps = _real_path(params, item)
            problems.append(((*path, *steps), registry.explain(item, known, str(steps[-1]) if steps else "")))
        return problems
    except LamplighterError as error:
        return [(path, str(error))]
    node.update(_plain(arguments))
    return []


def _static_problem(model: type[BaseModel], data: Any, item: Any) -> tuple[yaml.Path_, str]:
    path = _real_path(data, item)
    section: Any = model
    for step in path[:-1]:
        field = getattr(section, "model_fields", {}).get(step)
        section = _model_in(field.annotation) if field is not None else section
    return path, registry.explain(item, list(getattr(section, "model_fields", {})), str(path[-1]) if path else "")


def _real_path(data: Any, item: Any) -> yaml.Path_:
    """A pydantic location without the steps that name members of a union instead of keys of ``data``."""
    path: list[str | int] = []
    for step in item["loc"]:
        if (isinstance(data, dict) and step in data) or (isinstance(data, list) and step in range(len(data))):
            path.append(step)
            data = data[step]
    if item["type"] == "missing":
        path.append(item["loc"][-1])
    return tuple(path)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The pydantic model inside ``Model``, ``Model | None`` or ``tuple[Model, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for a in getattr(annotation, "__args__", ()) if (found := _model_in(a))), None)


def _plain(value: Any) -> Any:
    """Tuples to lists, models to dicts: what JSON and YAML hold."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value
