"""What each number of the report is called, and what it means to someone who meets it for the first time."""

from __future__ import annotations

from typing import Literal, NamedTuple

from lamplighter.metrics.score import Score

Style = Literal["percent", "fraction", "unit"]


class Meaning(NamedTuple):
    """Words for one metric.

    Attributes:
        title: as people say it.
        text: one sentence.
        style: ``percent``, ``fraction`` (three decimals) or ``unit`` (four digits that count).
        main: one of the numbers to look at first.
    """

    title: str
    text: str
    style: Style = "unit"
    main: bool = True


_CLASSIFICATION = {
    "accuracy": Meaning("Accuracy", "Share of rows whose answer is right.", "percent"),
    "balanced_accuracy": Meaning(
        "Balanced accuracy",
        "The same, computed for each class and averaged: rare classes count as much as common ones.",
        "percent",
    ),
    "f1_macro": Meaning(
        "F1, mean of classes",
        "Low when the model misses rows of a class or gives the class to others. 1 is perfect.",
        "fraction",
    ),
    "precision": Meaning(
        "Precision",
        "Of the rows given the positive class, the share that is it: how far such an answer can be trusted.",
        "percent",
    ),
    "recall": Meaning(
        "Recall",
        "Of the rows of the positive class, the share that was found.",
        "percent",
    ),
    "f1": Meaning("F1", "Precision and recall in one number: low when either is. 1 is perfect.", "fraction"),
    "average_precision": Meaning(
        "Average precision",
        "Area under the precision-recall curve. A model that guesses scores the share of positive rows.",
        "fraction",
    ),
    "roc_auc": Meaning(
        "ROC-AUC",
        "Chance that a row of a class gets a higher score for it than a row of another class. 0.5 is a coin.",
        "fraction",
    ),
    "loss": Meaning(
        "Log-loss",
        "How surprised the model is by the right answers: 0 is perfect, being sure and wrong costs most.",
        "fraction",
    ),
    "brier": Meaning(
        "Brier score",
        "Squared distance between stated probabilities and what turned out to be true. 0 is perfect.",
        "fraction",
    ),
    "ece": Meaning(
        "Calibration error",
        "Mean gap between stated confidence and share of right answers (ECE). 0 is honest.",
        "fraction",
    ),
    "mcc": Meaning(
        "Matthews correlation",
        "Correlation of answers and truth over all classes: 1 is perfect, 0 no better than guessing.",
        "fraction",
        main=False,
    ),
    "kappa": Meaning(
        "Cohen's kappa",
        "Agreement with the truth beyond what guessing as often would give. 1 is perfect, 0 is guessing.",
        "fraction",
        main=False,
    ),
    "precision_macro": Meaning(
        "Precision, mean of classes",
        "Of the rows given a class, the share that is it, averaged over the classes.",
        "percent",
        main=False,
    ),
    "recall_macro": Meaning(
        "Recall, mean of classes",
        "Of the rows of a class, the share that was found, averaged over the classes that have rows or were answered.",
        "percent",
        main=False,
    ),
}
_REGRESSION = {
    "rmse": Meaning("RMSE", "Typical size of an error in the target's own unit; large errors weigh more."),
    "mae": Meaning("Mean absolute error", "How far an answer is off on average, in the target's own unit."),
    "r2": Meaning(
        "R²",
        "Share of the target's ups and downs that is explained: 1 is perfect, 0 no better than the mean.",
        "fraction",
    ),
    "mape": Meaning(
        "Mean percentage error",
        "How far an answer is off on average, as a share of the true value. For targets well above zero.",
        "percent",
    ),
    "loss": Meaning(
        "Loss",
        "What training made small, on targets scaled to deviation 1: the squared error, or the loss the recipe names.",
    ),
}


_SEGMENTATION = {
    "mean_iou": Meaning(
        "Mean IoU",
        "Of the pixels that are a class or were given it, the share that is both, averaged over the classes.",
        "percent",
    ),
    "dice": Meaning(
        "Dice",
        "The same question with what is both counted twice: higher than the IoU, and equal to the F1 of pixels.",
        "percent",
    ),
    "pixel_accuracy": Meaning(
        "Pixel accuracy",
        "Share of pixels whose class is right. High where most pixels are background, so look at the IoU too.",
        "percent",
    ),
    "loss": Meaning(
        "Log-loss of a pixel",
        "How surprised the model is by the right class of a pixel: 0 is perfect, being sure and wrong costs most.",
        "fraction",
    ),
}
_TAGGING = {
    "entity_f1": Meaning(
        "F1 of entities",
        "Low when entities are missed, made up, or end at the wrong word; type and both ends must be right.",
        "fraction",
    ),
    "entity_precision": Meaning(
        "Precision of entities",
        "Of the entities that the model marked, the share that is right: how far a mark can be trusted.",
        "percent",
    ),
    "entity_recall": Meaning("Recall of entities", "Of the true entities, the share that was found.", "percent"),
    "token_accuracy": Meaning(
        "Right words",
        "Share of words whose tag is right. High where most words are outside of entities, so look at the F1 too.",
        "percent",
    ),
    "loss": Meaning(
        "Log-loss of a word",
        "How surprised the model is by the right tag of a word: 0 is perfect, being sure and wrong costs most.",
        "fraction",
    ),
}
_PERPLEXITY = Meaning(
    "Perplexity",
    "Among how many equally likely tokens the model might as well have chosen: 1 is certainty, lower is better.",
)
_TOKEN_LOSS = Meaning(
    "Loss",
    "How surprised the model is by a true token (mean of -log p): 0 is perfect. Perplexity is e to the power of it.",
    "fraction",
)
_LANGUAGE = {
    "perplexity": _PERPLEXITY,
    "bits_per_byte": Meaning(
        "Bits per byte",
        "How many bits each byte of text would cost if it were compressed with this model. Compares models whatever "
        "their tokens are, which perplexity does not.",
        "fraction",
    ),
    "accuracy": Meaning("Token accuracy", "Share of tokens that are what the model held likeliest.", "percent"),
    "loss": _TOKEN_LOSS,
}
_MASKED = {
    "accuracy": Meaning(
        "Accuracy at hidden tokens",
        "Share of hidden tokens for which the likeliest one is the true one. The most frequent token is the bar.",
        "percent",
    ),
    "perplexity": Meaning(
        "Perplexity of hidden tokens",
        "Among how many equally likely tokens the model might as well have chosen, with the others in sight.",
    ),
    "pseudo_perplexity": Meaning(
        "Pseudo-perplexity", "The same with every token hidden once, alone: how natural the texts are to the model."
    ),
    "loss": _TOKEN_LOSS,
}
_WRITTEN = {
    "exact_match": Meaning("Exact match", "Share of rows whose text is written exactly as wanted.", "percent"),
    "bleu": Meaning(
        "BLEU",
        "How many sequences of one to four words also stand in the wanted text, 1 for all; too short texts lose.",
        "fraction",
    ),
    "accuracy": Meaning(
        "Token accuracy",
        "Share of tokens that are right when all tokens before them are given as they should be.",
        "percent",
    ),
    "perplexity": _PERPLEXITY,
    "loss": _TOKEN_LOSS,
}
WORDS: dict[str, dict[str, Meaning]] = {
    "language-model": _LANGUAGE,
    "masked-lm": _MASKED,
    "seq2seq": _WRITTEN,
    "tagging": _TAGGING,
    "classification": _CLASSIFICATION,
    "regression": _REGRESSION,
    "segmentation": _SEGMENTATION,
}
"""Kind of answer -> its metrics, the most telling first."""


def meaning(name: str, kind: str) -> Meaning:
    """Words for a metric of a kind of answer; one that is not known here keeps its name.

    >>> meaning("r2", "regression").title, meaning("r2", "classification").title
    ('R²', 'r2')
    """
    return WORDS.get(kind, {}).get(name, Meaning(name, ""))


def order(names: list[str], kind: str) -> list[str]:
    """Most telling first; unknown ones last, as they come.

    >>> order(["mine", "loss", "accuracy"], "classification")
    ['accuracy', 'loss', 'mine']
    """
    known = list(WORDS.get(kind, {}))
    return sorted(names, key=lambda name: known.index(name) if name in known else len(known))


def figure(value: float, style: Style = "unit") -> str:
    """A number as a person would write it.

    >>> figure(0.97213, "percent"), figure(0.97213, "fraction")
    ('97.2%', '0.972')
    >>> figure(0.0123456), figure(152.249), figure(1234567.8), figure(2.5e10)
    ('0.01235', '152.2', '1,234,568', '2.5e+10')
    """
    if style == "percent":
        return f"{value:.1%}"
    if style == "fraction":
        return f"{value:.3f}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def interval(score: Score, style: Style = "unit") -> str:
    """``low to high`` of a score.

    >>> interval(Score(value=0.9, n=100, low=0.8256, high=0.9448), "percent")
    '82.6% to 94.5%'
    """
    return f"{figure(score.low, style)} to {figure(score.high, style)}"
