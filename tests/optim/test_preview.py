"""What is shown of a schedule before training."""

from __future__ import annotations

import pytest

from lamplighter.core import registry
from lamplighter.optim.preview import rates, sparkline, summary
from lamplighter.optim.schedules.constant import constant
from lamplighter.optim.schedules.cosine import cosine
from lamplighter.optim.schedules.one_cycle import one_cycle
from lamplighter.optim.schedules.plateau import Plateau


def test_rates_are_what_the_trainer_will_set() -> None:
    factor = one_cycle(50)
    assert rates(factor, 0.2, 50) == [0.2 * factor(step) for step in range(50)]


@pytest.mark.parametrize("name", registry.names("schedule"))
def test_every_schedule_has_a_line_and_a_sentence(name: str) -> None:
    schedule = registry.build("schedule", name, {}, {"total_steps": 500, "steps_per_epoch": 50})
    line = sparkline(rates(schedule, 0.01, 500), width=40)
    assert len(line) == 40
    assert "█" in line
    assert summary(schedule, 0.01, 500)


def test_the_line_shows_where_the_rate_is_high() -> None:
    assert sparkline([0.0] * 10 + [1.0] * 10, width=4) == "▁▁██"
    assert sparkline([1.0, 0.5, 0.0]) == "█▅▁"
    assert sparkline([0.0, 0.0]) == "▁▁"
    assert sparkline([]) == ""


def test_columns_are_means_of_their_steps() -> None:
    """A single step at the top among many at the bottom is no full block."""
    spike = [0.0] * 100
    spike[50] = 1.0
    flat = [1.0] * 100
    assert sparkline(spike + flat, width=2) == "▁█"


def test_sentences() -> None:
    assert summary(constant(10), 0.1, 10) == "0.1 all the time"
    assert summary(cosine(100, final=0.1), 0.1, 100) == "begins at 0.1, ends at 0.01 in step 100"
    assert (
        summary(constant(100, warmup=4), 0.1, 100) == "begins at 0.001, peaks at 0.1 in step 5, ends at 0.1 in step 100"
    )
    assert summary(Plateau(100), 0.1, 100) == "0.1 from step 1 on, less when validations no longer improve"
