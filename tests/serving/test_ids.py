"""Ids are never given twice."""

from __future__ import annotations

from lamplighter.serving.ids import Ids


def test_ids_are_distinct_over_refills_and_of_full_length() -> None:
    ids = Ids()
    taken = [id_ for count in [1, 255, 1, 2, 1000, 3] * 20 for id_ in ids.take(count)]
    assert len(set(taken)) == len(taken) == 20 * 1262
    assert {len(id_) for id_ in taken} == {32}
