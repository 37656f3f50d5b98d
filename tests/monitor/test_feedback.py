"""Late labels by prediction id."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from lamplighter.core.errors import InputError
from lamplighter.monitor.service import Monitor


def test_states(world: Any, start: Callable[..., Monitor], feed: Callable[..., list[str]]) -> None:
    monitor = start()
    ids = feed(monitor, world.live[:10])
    assert monitor.feedback(ids[0], "3") == "joined"  # whether or not the writer has been there already
    assert monitor.feedback(ids[0], "4") == "updated"
    assert monitor.feedback("never made", "4") == "unknown"
    assert monitor.feedback_many([(ids[1], 1), ("x", "2"), (ids[0], "5")]) == ["joined", "unknown", "updated"]
    assert monitor.feedback_many([]) == []


def test_a_wrong_label_in_a_list_stores_nothing(
    world: Any, start: Callable[..., Monitor], feed: Callable[..., list[str]]
) -> None:
    monitor = start()
    ids = feed(monitor, world.live[:10])
    with pytest.raises(InputError, match="row 1, field 'label': unknown label 'cat'; known labels: 0, 1, 2"):
        monitor.feedback_many([(ids[0], "1"), (ids[1], "cat")])
    assert monitor.store.label_span("digits", "1") is None
    with pytest.raises(InputError, match=r"^field 'label': unknown label 'cat'"):
        monitor.feedback(ids[0], "cat")


def test_the_last_of_two_labels_in_one_list_counts(
    world: Any, start: Callable[..., Monitor], feed: Callable[..., list[str]]
) -> None:
    monitor = start({"window": 1000})
    ids = feed(monitor, world.live[:1])
    label = int(world.model(world.live[:1])[1].argmax())
    monitor.feedback_many([(ids[0], str((label + 1) % 10)), (ids[0], str(label))])
    assert monitor.store.errors_by_time("digits", "1", 1e12)[0]["error"] == 0


def test_labels_of_an_older_version_stay_with_it(
    world: Any, make_manifest: Any, start: Callable[..., Monitor], feed: Callable[..., list[str]]
) -> None:
    old = start()
    ids = feed(old, world.live[:5])
    old.close()
    new = start(manifest=world.manifest.model_copy(update={"version": "2"}))
    assert new.feedback(ids[0], "1") == "joined"
    assert new.store.label_span("digits", "2") is None and new.store.label_span("digits", "1") is not None


def test_many_threads_send_labels_while_predictions_come(
    world: Any, start: Callable[..., Monitor], feed: Callable[..., list[str]]
) -> None:
    monitor = start({"window": 1000})
    states: list[str] = []

    def work(name: int) -> None:
        for id_ in feed(monitor, world.live[:40], prefix=f"{name}-"):
            states.append(monitor.feedback(id_, "1"))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states == ["joined"] * 160
