"""What is wrong decides; everything becomes JSON."""

from __future__ import annotations

import dataclasses
import json

from lamplighter.checkup.result import Check, Checkup, Cost


def test_only_what_is_wrong_makes_a_checkup_fail(sound: Checkup) -> None:
    looks = dataclasses.replace(sound, checks=(Check("classes", "look", "x"), Check("targets", "ok", "y")))
    wrong = dataclasses.replace(sound, checks=(*looks.checks, Check("splits", "wrong", "z")))
    assert (looks.ok, wrong.ok) == (True, False)
    assert wrong.to_dict()["checks"][-1] == {"name": "splits", "level": "wrong", "text": "z"}


def test_numbers_that_are_not_finite_become_null(sound: Checkup) -> None:
    broken = dataclasses.replace(sound, data={"baseline": {"loss": float("nan")}, "list": [float("inf"), 1.0]})
    plain = json.loads(json.dumps(broken.to_dict(), allow_nan=False))
    assert plain["data"] == {"baseline": {"loss": None}, "list": [None, 1.0]}
    assert plain["rates"]["rates"][0]["gained"] is None, "the rate that diverged"


def test_the_whole_time_is_that_of_all_epochs() -> None:
    assert Cost(0.1, 2.0, 30, 1, 1, 1).total_seconds == 60.0
