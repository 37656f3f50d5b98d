"""Looks at a table, or a folder of images or texts, and writes a commented recipe that trains on it."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lamplighter.core import yaml
from lamplighter.core.errors import DataError
from lamplighter.data.places import existing
from lamplighter.data.preprocessing.reading import SUFFIXES
from lamplighter.data.tables import csv, kinds
from lamplighter.data.tables.kinds import ColumnKind
from lamplighter.data.tables.reading import TableFile, read_table
from lamplighter.data.tables.targets import Target, read_target
from lamplighter.data.tables.values import DateOrder

if TYPE_CHECKING:
    from lamplighter.data.sources._images import Format

_SHOWN = 4
_STEPS = 3000
_LEAST_EPOCHS = 5
_TEXT_NAMES = frozenset(
    ("text", "texts", "review", "comment", "message", "sentence", "content", "body", "tweet", "document", "description")
)
_TEXT_SUFFIXES = frozenset({"", ".txt", ".text", ".md"})


def describe(path: str | Path, target: str | None = None) -> str:
    """The text of a recipe for a data set, with a comment on everything that was found.

    Args:
        path: a CSV, Parquet or JSON lines file, or a folder with one sub-folder of images, or of text files, for each
            class, or with the folders ``images`` and ``masks``.
        target: the column to predict; for tables only.

    Returns:
        YAML that `lamplighter.core.recipe.Recipe.parse` takes.

    Raises:
        DataError: the data cannot be trained on, or a table without ``target``.
    """
    place = existing(path, "file or folder")
    if place.is_dir():
        if target is not None:
            raise DataError(f"{place}: a folder takes no target; its sub-folders' names are the classes")
        if any((part / "images").is_dir() and (part / "masks").is_dir() for part in (place, place / "train")):
            return _describe_masks(place, str(path))
        return _describe_text_folder(place, str(path)) if _holds_texts(place) else _describe_folder(place, str(path))
    file = read_table(place)
    if target is None:
        raise DataError(f"{place}: say which column to predict: --target NAME; columns: {', '.join(file.columns)}")
    file.column(target)
    image = _image_column(file, target)
    text = None if image else _text_column(file, target)
    if text:
        return _describe_texts(read_table(place, verbatim=(text,)), str(path), target, text)
    found = {name: kinds.markers(file, name) for name in ([target] if image else file.columns)}
    marked = {name: texts for name, texts in found.items() if texts}
    if marked:
        file = read_table(place, missing=_texts(marked))
    if image:
        return _describe_image_table(file, str(path), target, image, marked)
    return _describe_table(file, str(path), target, marked)


def _describe_table(file: TableFile, path: str, target: str, marked: dict[str, Counter[str]]) -> str:
    blanks = sum(cell is None for cell in file.column(target))
    goal = read_target(file, target, drop_blanks=True)
    file = goal.file
    odd = _odd_columns(file, target)
    settled: dict[str, ColumnKind] = dict.fromkeys(odd, "ignore")
    order, chosen, notes = kinds.decide(file, target, settled)
    used = sum(kind != "ignore" for kind in chosen.values())
    if not used:
        reasons = "; ".join([*notes, *odd.values()]) or "the table has no other"
        raise DataError(f"{file.path}: no column is left to predict '{target}' from: {reasons}")
    rows = int(0.7 * len(file))
    batch = 32 if rows < 2_000 else 128 if rows < 50_000 else 512
    hidden = "[32, 16]" if rows < 1_000 else "[64, 32]" if rows < 10_000 else "[128, 64]"
    data = [
        "  name: table",
        f"  {_entry('path', path)}",
        _line("  " + _entry("target", target), _about_target(goal)),
        _line(f"  target_kind: {'category' if goal.labels else 'numeric'}", _about_kind(goal)),
        *([_line("  drop_blank_targets: true", f"{blanks:,} rows have no target and are left out")] if blanks else []),
        *_dialect(file, order, notes),
        *_missing(marked),
        "  columns:  # numeric, category, boolean or date; ignore leaves a column out",
        *(
            _line("    " + _entry(name, kind), odd.get(name) or _about_column(file, name, kind, order))
            for name, kind in chosen.items()
        ),
        "  split: [0.7, 0.15, 0.15]  # train, val, test",
        f"  batch_size: {batch}",
    ]
    return _recipe(
        title=f"Predicts {_flat(target)} from {used} columns of {file.path.name} ({len(file):,} rows).",
        name=file.path.stem,
        data=data,
        model=["  name: mlp", f"  hidden: {hidden}  # units of each hidden layer"],
        task="classification" if goal.labels else "regression",
        epochs=_epochs(rows, batch, most=100),
        monitor=_monitor(goal),
    )


def _describe_image_table(file: TableFile, path: str, target: str, image: str, marked: dict[str, Counter[str]]) -> str:
    from lamplighter.data.sources._images import decide_format
    from lamplighter.data.sources.image_table import list_paths

    paths = list_paths(file, image)
    goal = read_target(file, target, drop_blanks=True)
    layout = decide_format(paths, None, "auto", "auto")
    rows = int(0.8 * len(goal.values))
    batch = _image_batch(rows)
    others = [name for name in file.columns if name not in (image, target)]
    data = [
        "  name: image-table",
        f"  {_entry('path', path)}",
        _line(f"  {_entry('image', image)}", f"{len(paths):,} images; their paths count from the folder of the table"),
        _line(f"  targets: [{_scalar(target)}]", _about_target(goal)),
        _line(f"  target_kind: {'category' if goal.labels else 'numeric'}", _about_kind(goal)),
        *(f"  # {_flat(note)}" for note in goal.notes if "left out" in note),
        *([f"  # {_flat('not used, since the image alone is the input: ' + ', '.join(others))}"] if others else []),
        *_dialect(file, None, []),
        *_missing(marked),
        *_image_layout(layout),
        f"  batch_size: {batch}",
    ]
    return _recipe(
        title=f"Predicts {_flat(target)} from the images that {file.path.name} lists ({len(paths):,} rows).",
        name=file.path.stem,
        data=data,
        augment=_augment(layout) if goal.labels else (),
        model=_image_model(layout),
        task="classification" if goal.labels else "regression",
        epochs=_epochs(rows, batch, most=30),
        monitor=_monitor(goal),
    )


def _describe_texts(file: TableFile, path: str, target: str, text: str) -> str:
    blank = sum(cell is None for cell in file.columns[text])
    unlabelled = sum(cell is None for cell in file.columns[target])
    file = file.select([row for row, cell in enumerate(file.columns[text]) if cell is not None])
    goal = read_target(file, target, "category", drop_blanks=True)
    others = [name for name in file.columns if name not in (text, target)]
    words = np.array([len(str(cell).split()) for cell in goal.file.columns[text]])
    data = [
        "  name: text-table",
        f"  {_entry('path', path)}",
        _line(f"  {_entry('text', text)}", _about_words(words)),
        _line(f"  {_entry('target', target)}", _about_target(goal)),
        *([_line("  drop_blank_texts: true", f"{blank:,} rows have no text")] if blank else []),
        *([_line("  drop_blank_targets: true", f"{unlabelled:,} rows have no target")] if unlabelled else []),
        *([f"  # {_flat('not used, since the text alone is the input: ' + ', '.join(others))}"] if others else []),
        *_dialect(file, None, [])[: 2 if file.dialect else 0],
    ]
    title = f"Predicts {_flat(target)} from the texts of {file.path.name} ({len(goal.values):,} rows)."
    return _text_recipe(title, file.path.stem, data, words, monitor=_monitor(goal))


def _describe_text_folder(folder: Path, path: str) -> str:
    from lamplighter.data.sources._text_folder import read_folder

    file = read_folder(folder, "text", "label")
    counts = Counter(file.columns["label"])
    if len(counts) < 2:
        raise DataError(
            f"{folder}: only one class ('{next(iter(counts))}'); a folder for each of at least two is needed"
        )
    blank = sum(cell is None for cell in file.columns["text"])
    words = np.array([len(cell.split()) for cell in file.columns["text"] if cell is not None])
    data = [
        "  name: text-table",
        _line("  " + _entry("path", path), f"{len(file):,} text files in {len(counts)} classes: {_mix(counts)}"),
        *([_line("  drop_blank_texts: true", f"{blank:,} files have no text")] if blank else []),
    ]
    title = f"Tells {len(counts)} classes of texts apart ({len(words):,} files in {folder.name})."
    return _text_recipe(title, folder.resolve().name, data, words, "{metric: accuracy, mode: max}")


def _text_recipe(title: str, name: str, data: list[str], words: np.ndarray, monitor: str) -> str:
    rows = int(0.8 * len(words))
    longest = int(np.clip(2 ** math.ceil(math.log2(1.4 * np.quantile(words, 0.95) + 2)), 32, 512))
    data = [
        *data,
        "  tokenizer: words  # or wordpiece, bpe, characters, or the path of a checkpoint's tokenizer",
        f"  vocab_size: {4_000 if rows < 1_000 else 16_000}",
        f"  max_length: {longest}  # tokens; what stands behind is cut off",
        "  split: [0.8, 0.1, 0.1]  # train, val, test",
        "  batch_size: 32",
    ]
    model = [
        "  name: textcnn",
        "  embedding_dim: 64",
        "  channels: 64",
        "  kernel_sizes: [1, 2, 3]  # words that a filter sees; [1] where single words say the class",
        "  pooling: mean",
    ]
    return _recipe(title, name, data, model, "text-classification", _epochs(rows, 32, most=15), monitor)


def _about_words(words: np.ndarray) -> str:
    middle, most = np.quantile(words, 0.5), words.max()
    return f"{len(words):,} texts of {middle:.0f} words (median), {most:,} at most"


def _text_column(file: TableFile, target: str) -> str | None:
    """A column of free text that classes can be told from: one that is named so, or the only one there is to use."""
    found: list[str] = []
    usable = 0
    for name in file.columns:
        if name == target:
            continue
        try:
            guess = kinds.guess(file, name)
        except DataError:  # typing errors: it is no text
            usable += 1
            continue
        if guess.kind == "ignore" and "free text" in guess.note:
            found.append(name)
        usable += guess.kind != "ignore"
    named = [name for name in found if name.lower() in _TEXT_NAMES]
    chosen = next(iter(named or (found if not usable else [])), None)
    return chosen if chosen and read_target(file, target, drop_blanks=True).labels else None


def _holds_texts(folder: Path) -> bool:
    """Whether the sub-folders of a folder hold text files and no images."""
    files = [path for path in folder.glob("*/*") if path.is_file() and not path.name.startswith(".")]
    return bool(files) and all(path.suffix.lower() in _TEXT_SUFFIXES for path in files)


def _describe_folder(folder: Path, path: str) -> str:
    from lamplighter.data.sources._images import decide_format
    from lamplighter.data.sources.image_folder import list_images

    notes: list[str] = []
    paths, labels, _ = list_images(folder, notes)
    counts = Counter(labels)
    if len(counts) < 2:
        raise DataError(f"{folder}: only one class ('{labels[0]}'); a folder for each of at least two is needed")
    layout = decide_format(paths, None, "auto", "auto")
    rows = int(0.8 * len(paths))
    batch = _image_batch(rows)
    data = [
        "  name: image-folder",
        _line("  " + _entry("path", path), f"{len(paths):,} images in {len(counts)} classes: {_mix(counts)}"),
        *(f"  # {_flat(note)}" for note in notes),
        *_image_layout(layout),
        f"  batch_size: {batch}",
    ]
    return _recipe(
        title=f"Tells {len(counts)} classes of images apart ({len(paths):,} images in {folder.name}).",
        name=folder.resolve().name,
        data=data,
        augment=_augment(layout),
        model=_image_model(layout),
        task="classification",
        epochs=_epochs(rows, batch, most=30),
        monitor="{metric: accuracy, mode: max}",
    )


def _describe_masks(folder: Path, path: str) -> str:
    from lamplighter.data.sources.mask_folder import MaskFolder

    source = MaskFolder(path)
    decided, labels, counts = source.resolved(), source.signature.labels, source.class_counts()
    shares = ", ".join(f"{_flat(label)} {count / sum(counts):.1%}" for label, count in zip(labels, counts))
    rows = len(source.split("train"))
    largest = max(source.signature.inputs[0].shape[:2])
    varying, ignored = decided["size"] == "original", decided["ignore_index"]
    data = [
        "  name: mask-folder",
        _line("  " + _entry("path", path), f"{len(source.files):,} images with masks"),
        _line(f"  classes: [{', '.join(map(_scalar, labels))}]", f"shares of the training pixels: {shares}"),
        _line(f"  values: {decided['values']}", "the pixel value of each class"),
        *([f"  ignore_index: {ignored}  # pixels of this value do not count"] if ignored is not None else []),
        _line(
            f"  size: {decided['size']}", "sizes differ, and each image keeps its own" if varying else "of all images"
        ),
        *(f"  # {_flat(note)}" for note in source.notes),
        "  split: [0.8, 0.1, 0.1]  # train, val, test",
        "  batch_size: 16",
    ]
    crop = [f"  - {{name: random-crop, height: {_TILE}, width: {_TILE}}}  # training sees pieces of this size"]
    flip = ["  - {name: random-flip}  # take it out where left and right matter"]
    recipe = _recipe(
        title=f"Gives each pixel one of {len(labels)} classes ({len(source.files):,} images in {folder.name}).",
        name=folder.resolve().name,
        data=data,
        augment=["augment:  # image and mask move together", *(crop if varying or largest > _TILE else []), *flip],
        model=["  name: unet", "  width: 16", _line("  depth: 3", "halvings of the resolution")],
        task="segmentation",
        epochs=_epochs(rows, 16, most=50),
        monitor="{metric: mean_iou, mode: max}",
    )
    tiles = _line(f"  tile: {_TILE}", "larger images are answered in overlapping tiles")
    return recipe.replace("  name: segmentation\n", f"  name: segmentation\n{tiles}\n", 1)


def _image_layout(layout: Format) -> list[str]:
    height, width = layout.size
    return [
        _line(f"  size: [{height}, {width}]", "height and width that every image is brought to"),
        _line(f"  channels: {layout.channels}", {1: "gray", 3: "colour"}.get(layout.channels, "as the files have")),
        _line(f"  bits: {layout.bits}", f"pixel values 0..{2**layout.bits - 1}"),
        "  split: [0.8, 0.1, 0.1]  # train, val, test",
    ]


_TILE = 256


def _image_batch(rows: int) -> int:
    return 32 if rows < 2_000 else 128


def _image_model(layout: Format) -> list[str]:
    stages = min(6, max(1, 2 + math.ceil(math.log2(max(layout.size) / 32))))
    about = "halvings of the resolution: two up to 32 pixels, one more for each doubling"
    return ["  name: cnn", "  width: 32", _line(f"  stages: {stages}", about)]


def _augment(layout: Format) -> list[str]:
    return [
        "augment:  # changes of the training images, drawn anew in every epoch",
        f"  - {{name: random-shift, pixels: {max(1, min(layout.size) // 16)}}}",
        "  # - {name: random-flip}  # add it where left and right do not matter: not for letters, digits or signs",
    ]


def _image_column(file: TableFile, target: str) -> str | None:
    """The first column of image files, of which at least one exists."""
    for name, cells in file.columns.items():
        present = [cell for cell in cells if cell is not None]
        if name == target or not present:
            continue
        if all(isinstance(cell, str) and Path(cell).suffix.lower() in SUFFIXES for cell in present) and any(
            (file.path.parent / Path(cell).expanduser()).is_file() for cell in present
        ):
            return name
    return None


def _texts(marked: dict[str, Counter[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for texts in marked.values() for text in texts))


def _missing(marked: dict[str, Counter[str]]) -> list[str]:
    """The key that takes some texts for blanks, and where they stand."""
    if not marked:
        return []
    texts = _texts(marked)
    places = []
    for text in texts:
        cells = ", ".join(
            f"{found[text]:,} cell{'s' if found[text] > 1 else ''} in column {name}"
            for name, found in marked.items()
            if text in found
        )
        places.append(cells if len(texts) == 1 else f"{text}: {cells}")
    listed = ", ".join(_quoted(text) for text in texts)
    return [_line(f"  missing: [{listed}]", "; ".join(places))]


def _odd_columns(file: TableFile, target: str) -> dict[str, str]:
    """Columns with typing errors, and what is wrong with them."""
    names = [name for name in file.columns if name != target]
    order, _ = kinds.date_order(file, names)
    odd = {}
    for name in names:
        try:
            kinds.guess(file, name, order)
        except DataError as error:
            odd[name] = str(error).removeprefix(f"{file.path.parent}{os.sep}")
    return odd


def _recipe(
    title: str,
    name: str,
    data: list[str],
    model: list[str],
    task: str,
    epochs: int,
    monitor: str,
    augment: Sequence[str] = (),
) -> str:
    patience = min(epochs, max(_LEAST_EPOCHS, epochs // 4))  # the schedule pays off late
    lines = [
        f"# {_flat(title)}",
        "# Train, export, serve and monitor it: lamp up THIS_FILE",
        f"name: {_slug(name)}",
        "seed: 0",
        "data:",
        *data,
        *augment,
        "model:",
        *model,
        "task:",
        f"  name: {task}",
        "train:",
        f"  epochs: {epochs}  # passes over the training rows; the best one is kept",
        "  optimizer: {name: adamw, lr: 0.003, weight_decay: 0.05}",
        "  schedule: {name: one-cycle}",
        f"  monitor: {monitor}  # decides which epoch is best",
        f"  callbacks: [{{name: early-stopping, patience: {patience}}}]  # ends so many epochs after the best one",
    ]
    return "\n".join(lines) + "\n"


def _dialect(file: TableFile, order: DateOrder | None, notes: list[str]) -> list[str]:
    lines = []
    if file.dialect:
        if csv.numbers_rows(file.path, file.dialect):
            lines.append("  # the first column has no name and numbers the rows: it is left out")
        lines += [
            f"  {_entry('delimiter', file.dialect.delimiter)}",
            f"  {_entry('encoding', file.dialect.encoding)}",
            _line(f"  {_entry('decimal', file.dialect.decimal)}", "decimal sign"),
        ]
    if order:
        doubt = next((note for note in notes if "date_order" in note), "")
        words = "day first: 31/12/2024" if order == "dmy" else "month first: 12/31/2024"
        lines.append(_line(f"  date_order: {order}", doubt or words))
    return lines


def _about_target(goal: Target) -> str:
    if goal.labels:
        return f"{len(goal.labels)} classes: {_mix(_label_counts(goal))}"
    low, middle, high = np.quantile(goal.values, [0, 0.5, 1])
    return f"{low:.6g} to {high:.6g}, median {middle:.6g}"


def _about_kind(goal: Target) -> str:
    if not goal.labels:
        return "the number itself is predicted"
    return next(
        (note.partition(", ")[2] for note in goal.notes if "target_kind" in note), "one of the classes is predicted"
    )


def _about_column(file: TableFile, name: str, kind: str, order: DateOrder | None) -> str:
    """What stands in a column: range or most frequent values, and how many are missing."""
    if kind == "ignore":
        return kinds.guess(file, name, order).note
    column = kinds.typed(file, name, kind, order)
    missing = sum(cell is None for cell in file.columns[name])
    tail = f"; {missing:,} missing" if missing else ""
    if kind == "numeric":
        low, middle, high = np.nanquantile(column, [0, 0.5, 1])
        return f"{low:.6g} to {high:.6g}, median {middle:.6g}{tail}"
    if kind == "boolean":
        return f"true in {np.nanmean(column):.0%}{tail}"
    if kind == "date":
        known = column[~np.isnat(column)].astype("datetime64[D]")
        return f"{known.min()} to {known.max()}{tail}"
    counts = Counter(text for text in column.tolist() if text is not None)
    return f"{len(counts):,} values: {_mix(counts)}{tail}"


def _label_counts(goal: Target) -> Counter[str]:
    numbers = np.bincount(goal.values, minlength=len(goal.labels))
    return Counter(dict(zip(goal.labels, numbers.tolist())))


def _mix(counts: Counter[str]) -> str:
    """The most frequent values with their numbers."""
    shown = [f"{_flat(text)} ({count:,})" for text, count in counts.most_common(_SHOWN)]
    return ", ".join(shown) + (", ..." if len(counts) > _SHOWN else "")


def _monitor(goal: Target) -> str:
    if not goal.labels:
        return "{metric: rmse, mode: min}"
    counts = _label_counts(goal)
    uneven = max(counts.values()) > 2 * len(goal.values) / len(goal.labels)
    return f"{{metric: {'balanced_accuracy' if uneven else 'accuracy'}, mode: max}}"


def _epochs(rows: int, batch: int, most: int) -> int:
    """So many that about `_STEPS` steps are taken, between 5 epochs and ``most``."""
    return max(_LEAST_EPOCHS, min(most, round(_STEPS / math.ceil(rows / batch))))


def _entry(key: str, value: Any) -> str:
    """``key: value`` on one line, quoted where YAML needs it."""
    return f"{_scalar(key)}: {_scalar(value)}"


def _scalar(value: Any) -> str:
    text = str(value)
    plain = re.fullmatch(r"[A-Za-z_/.][\w ./()%+-]*(?<! )", text) and isinstance(yaml.scalar(text), str)
    return text if plain else _quoted(text)


def _quoted(text: str) -> str:
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def _line(entry: str, comment: str) -> str:
    return f"{entry}  # {_flat(comment)}" if comment else entry


def _flat(text: str) -> str:
    """One line of printable characters, fit for a comment."""
    short = "".join(character if character.isprintable() else " " for character in text)
    return short if len(short) <= 160 else short[:157] + "..."


def _slug(stem: str) -> str:
    """A name for run, bundle and URL: letters, digits, dots, hyphens and underscores."""
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")
    return slug or "model"
