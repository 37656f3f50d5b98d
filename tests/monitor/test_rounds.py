"""Nobody who waits for a round is woken by one that began before he asked."""

from __future__ import annotations

import threading

from lamplighter.monitor.rounds import Rounds


def test_a_round_that_began_earlier_does_not_count() -> None:
    rounds = Rounds()
    rounds.ask()
    early = rounds.begin(1.0)
    late = rounds.ask()
    rounds.finish(early)
    assert not rounds.wait(late, 0.01)
    rounds.finish(rounds.begin(1.0))
    assert rounds.wait(late, 0.01) and rounds.wait_all(0.01)


def test_everyone_who_asks_is_answered() -> None:
    rounds, stop, work = Rounds(), threading.Event(), [0]

    def worker() -> None:
        while not stop.is_set():
            number = rounds.begin(0.05)
            seen = work[0]
            rounds.finish(number)
            assert seen <= work[0]

    thread = threading.Thread(target=worker)
    thread.start()
    for _ in range(500):
        work[0] += 1
        assert rounds.wait(rounds.ask(), 5.0)
    stop.set()
    thread.join()
