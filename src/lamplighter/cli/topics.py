"""``lamp topics``: the map of the 48 topics."""

from __future__ import annotations

from typing import Annotated

import typer

from lamplighter.cli import options
from lamplighter.cli.options import Json
from lamplighter.core.errors import LamplighterError


def topics(
    number: Annotated[int | None, typer.Argument(metavar="[N]", help="Show one topic with all its ideas.")] = None,
    json: Json = False,
) -> None:
    """The 48 topics: what has landed, where it lives, what is planned."""
    import dataclasses

    from lamplighter.topics import TOPICS

    if number is not None and number not in {topic.number for topic in TOPICS}:
        raise LamplighterError(f"there is no topic {number}; topics are numbered 1 to {len(TOPICS)}")
    chosen = [topic for topic in TOPICS if number in (None, topic.number)]
    if json:
        options.print_json([dataclasses.asdict(topic) for topic in chosen])
        return
    if number is None:
        rows = []
        for topic in chosen:
            landed = sum(idea.where is not None for idea in topic.ideas)
            rows.append([str(topic.number), topic.title, topic.status, f"{landed}/{len(topic.ideas)}"])
        options.print_table("Topics", ["n", "title", "status", "ideas landed"], rows)
        return
    topic = chosen[0]
    typer.echo(f"{topic.number}. {topic.title} ({topic.status})")
    for label, values in (("components", topic.components), ("tests", topic.tests)):
        for value in values:
            typer.echo(f"  {label[:-1]}: {value}")
    for idea in topic.ideas:
        typer.echo(
            f"  {'*' if idea.where else '-'} {idea.name}{f'  ->  {idea.where}' if idea.where else '  (planned)'}"
        )
