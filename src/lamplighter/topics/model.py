"""What a row of the map is: a topic, and the ideas it must cover."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["landed", "planned"]


@dataclass(frozen=True)
class Idea:
    """One system, class, option or named idea of a topic.

    Attributes:
        name: short phrase.
        where: the place that implements or shows it, as `lamplighter.topics.pointers` reads it; None while planned.
    """

    name: str
    where: str | None = None

    @property
    def status(self) -> Status:
        """``"landed"`` when the idea points somewhere."""
        return "planned" if self.where is None else "landed"


@dataclass(frozen=True)
class Topic:
    """One of the 48 topics.

    Attributes:
        number: 1 to 48, as in the source text.
        title: the field's term.
        status: ``"landed"`` once every idea points somewhere and the lesson exists.
        components: what a reader opens first, as pointers.
        lesson: ``lessons/NN_slug.py``, written when the topic lands.
        tests: test files that prove the topic.
        recipe: a built-in recipe that trains it, if there is one.
        ideas: everything the topic must cover.
    """

    number: int
    title: str
    lesson: str
    ideas: tuple[Idea, ...]
    status: Status = "planned"
    components: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    recipe: str | None = None

    @property
    def landed_ideas(self) -> int:
        """How many ideas point somewhere.

        >>> Topic(1, "Neuron", "lessons/01_neuron.py", (Idea("bias"), Idea("ReLU", "model:mlp"))).landed_ideas
        1
        """
        return sum(idea.status == "landed" for idea in self.ideas)
