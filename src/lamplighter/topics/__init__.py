"""The 48 topics of the source text and where each of their ideas lives. ``lamp topics`` prints this map.

>>> from lamplighter.topics import TOPICS
>>> len(TOPICS), TOPICS[13].title
(48, 'The Adam optimizer')
"""

from __future__ import annotations

from lamplighter.topics.advanced import ADVANCED
from lamplighter.topics.architectures import ARCHITECTURES
from lamplighter.topics.foundations import FOUNDATIONS
from lamplighter.topics.model import Idea, Topic
from lamplighter.topics.optimisation import OPTIMISATION
from lamplighter.topics.production import PRODUCTION

__all__ = ["TOPICS", "Idea", "Topic"]

TOPICS: tuple[Topic, ...] = (*FOUNDATIONS, *OPTIMISATION, *ARCHITECTURES, *ADVANCED, *PRODUCTION)
"""All topics in the order of the source text."""
