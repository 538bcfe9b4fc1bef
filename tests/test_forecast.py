"""The forecast: cases worked by hand, and what holds for any queue."""

from __future__ import annotations

import itertools
import math
import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pytest

from spool import policy
from spool.forecast import Forecast, Queued, Running, Seat, Span, Takes, Times, by_quality, forecast
from spool.layout import STAGE_OF_FOLDER

FIRST = Seat("texture-0", ("cutout", "texture"))
SECOND = Seat("geometry-0", ("geometry",))
ALL = Seat("all-0", ("cutout", "texture", "geometry"))
SECONDS = {"cutout": 1.0, "geometry": 20.0, "texture": 25.0}


def takes(seat: str, stage: str, job: Queued) -> Span:
    return Span(SECONDS[stage])


def jobs(count: int, quality: str = "high", model: bool = True) -> list[Queued]:
    return [Queued(f"{at:04}", quality, model) for at in range(count)]


def test_one_job_takes_the_sum_of_its_stages() -> None:
    told = forecast([FIRST, SECOND], {"inbox": jobs(1)}, [], takes)
    assert told.times == {"0000": Times(0.0, 46.0)}
    assert [(claim.seat, claim.stage, claim.begins, claim.frees) for claim in told.claims] == [
        ("texture-0", "cutout", 0.0, 1.0),
        ("geometry-0", "geometry", 1.0, 21.0),
        ("texture-0", "texture", 21.0, 46.0),
    ]


def test_three_jobs_overlap_on_two_devices() -> None:
    # Texture's device: cut-outs 0-1, 1-2, 2-3, then textures 21-46, 46-71, 71-96. Geometry: 1-21, 21-41, 41-61.
    told = forecast([FIRST, SECOND], {"inbox": jobs(3)}, [], takes)
    assert told.times == {"0000": Times(0.0, 46.0), "0001": Times(1.0, 71.0), "0002": Times(2.0, 96.0)}


def test_one_worker_ends_one_job_after_the_other() -> None:
    told = forecast([ALL], {"inbox": jobs(3)}, [], takes)
    assert [told.times[job.id] for job in jobs(3)] == [
        Times(0.0, 46.0),
        Times(46.0, 92.0),
        Times(92.0, 138.0),
    ]


def test_what_runs_ends_when_its_rest_is_over_and_holds_its_seat() -> None:
    first, second = jobs(2)
    runs = [Running("geometry-0", "geometry", first, spent=15.0)]
    told = forecast([FIRST, SECOND], {"geometry": [second]}, runs, takes)
    # Geometry: the first till 5, the second 5-25. Texture: 5-30, 30-55.
    assert told.times == {"0000": Times(0.0, 30.0), "0001": Times(5.0, 55.0)}


def test_what_runs_too_long_is_expected_now() -> None:
    runs = [Running("texture-0", "texture", jobs(1)[0], spent=1000.0)]
    assert forecast([FIRST, SECOND], {}, runs, takes).times == {"0000": Times(0.0, 0.0)}


def test_views_end_after_the_geometry() -> None:
    told = forecast([FIRST, SECOND], {"inbox": jobs(1, model=False)}, [], takes)
    assert told.times == {"0000": Times(0.0, 21.0)}


def test_finishing_beside_the_device_lets_the_next_job_begin() -> None:
    def beside(seat: str, stage: str, job: Queued) -> Span:
        return Span(10.0, 4.0)

    told = forecast([SECOND], {"geometry": jobs(3, model=False)}, [], beside)
    assert [claim.begins for claim in told.claims] == [0.0, 10.0, 20.0]
    assert [told.times[job.id].finishes for job in jobs(3)] == [14.0, 24.0, 34.0]


def test_a_slow_finisher_holds_its_device_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "FINISHING", 2)

    def beside(seat: str, stage: str, job: Queued) -> Span:
        return Span(1.0, 10.0)

    told = forecast([SECOND], {"geometry": jobs(4, model=False)}, [], beside)
    # Finished at 11, 21, 31, 41. A third job is claimed only when one of the two before it is out of its hands.
    assert [claim.begins for claim in told.claims] == [0.0, 1.0, 11.0, 21.0]
    assert [told.times[job.id].finishes for job in jobs(4)] == [11.0, 21.0, 31.0, 41.0]


def test_what_is_being_finished_leaves_its_device_free() -> None:
    first, second = jobs(2, model=False)

    def beside(seat: str, stage: str, job: Queued) -> Span:
        return Span(10.0, 4.0)

    runs = [Running("geometry-0", "geometry", first, spent=11.0, finishing=True)]
    told = forecast([SECOND], {"geometry": [second]}, runs, beside)
    assert told.times == {"0000": Times(0.0, 3.0), "0001": Times(0.0, 14.0)}


def test_a_job_that_rests_or_has_yet_to_arrive_is_not_claimed_before() -> None:
    told = forecast([FIRST, SECOND], {"inbox": [Queued("a", "high", since=7.0)]}, [], takes)
    assert told.times == {"a": Times(7.0, 53.0)}


def test_turn_comes_before_age() -> None:
    queue = [Queued("a", "high", turn=1.0), Queued("b", "high"), Queued("c", "high")]
    told = forecast([SECOND], {"geometry": queue}, [], takes)
    assert [claim.job for claim in told.claims] == ["b", "c", "a"]


def test_a_stage_that_nobody_takes_never_ends() -> None:
    told = forecast([FIRST], {"inbox": jobs(1), "geometry": [Queued("z", "high")]}, [], takes)
    assert told.times == {"0000": Times(0.0, math.inf), "z": Times(math.inf, math.inf)}


def test_times_by_quality_and_by_seat() -> None:
    by = by_quality({("geometry", "draft"): Span(2.0), ("geometry", "high"): Span(20.0)})
    queue = [Queued("a", "draft", model=False), Queued("b", "high", model=False)]
    assert forecast([SECOND], {"geometry": queue}, [], by).times["b"] == Times(2.0, 22.0)

    def slow_second(seat: str, stage: str, job: Queued) -> Span:
        return Span(10.0 if seat == "geometry-0" else 30.0)

    two = [SECOND, Seat("geometry-1", ("geometry",))]
    told = forecast(two, {"geometry": jobs(4, model=False)}, [], slow_second)
    assert [(claim.seat, claim.begins) for claim in told.claims] == [
        ("geometry-0", 0.0),
        ("geometry-1", 0.0),
        ("geometry-0", 10.0),
        ("geometry-0", 20.0),
    ]


def unequal(fast: float, slow: float) -> tuple[list[Seat], Takes]:
    """Two seats for the geometry that have measured themselves; the slow one is asked first."""
    seconds = {"geometry-0": slow, "geometry-1": fast}
    pair = [Seat(name, ("geometry",), {"geometry": usual}) for name, usual in seconds.items()]
    return pair, lambda seat, stage, job: Span(seconds[seat])


def test_a_slow_seat_leaves_the_last_jobs_to_a_faster_one() -> None:
    pair, span = unequal(10.0, 60.0)
    told = forecast(pair, {"geometry": jobs(7, model=False)}, [], span)
    # Seven are more than the fast one will have done within the minute: the slow one takes the first.
    assert [(claim.seat, claim.job, claim.begins) for claim in told.claims] == [
        ("geometry-0", "0000", 0.0),
        *(("geometry-1", f"{at:04}", 10.0 * (at - 1)) for at in range(1, 7)),
    ]
    told = forecast(pair, {"geometry": jobs(5, model=False)}, [], span)
    assert {claim.seat for claim in told.claims} == {"geometry-1"}
    assert max(times.finishes for times in told.times.values()) == 50.0


def test_a_slow_seat_leaves_nothing_for_longer_than_it_would_take() -> None:
    pair, span = unequal(10.0, 60.0)
    held = Running("geometry-1", "geometry", Queued("held", "ultra"), spent=0.0)

    def stuck(seat: str, stage: str, job: Queued) -> Span:
        return Span(500.0) if job.id == "held" else span(seat, stage, job)

    told = forecast(pair, {"geometry": jobs(1, model=False)}, [held], stuck)
    assert told.times["0000"] == Times(60.0, 120.0)
    # A job that comes after the folder was empty is left anew.
    later = [Queued("a", "high", False), Queued("b", "high", False, since=200.0)]
    told = forecast(pair, {"geometry": later}, [held], stuck)
    assert told.times["a"] == Times(60.0, 120.0) and told.times["b"] == Times(260.0, 320.0)


def drawn(chance: random.Random) -> Takes:
    """Stage times that are drawn once for each job."""
    known: dict[tuple[str, str], Span] = {}

    def jittered(seat: str, stage: str, job: Queued) -> Span:
        key = (stage, job.id)
        if key not in known:
            finish = chance.choice((0.0, chance.uniform(0, 5)))
            known[key] = Span(SECONDS[stage] * chance.uniform(0.5, 1.5), finish)
        return known[key]

    return jittered


def seats(chance: random.Random) -> list[Seat]:
    made = [FIRST, SECOND]
    made += [Seat(f"geometry-{at}", ("geometry",)) for at in range(1, chance.choice((1, 2, 5, 64)))]
    return made + [ALL] * chance.randrange(2)


@pytest.mark.parametrize("seed", range(12))
def test_what_holds_for_any_queue(seed: int) -> None:
    chance = random.Random(seed)
    asked, span = seats(chance), drawn(chance)
    queue = {
        folder: [
            Queued(f"{folder}-{at:03}", "high", chance.random() < 0.8 or folder == "texture")
            for at in range(chance.randrange(60))
        ]
        for folder in STAGE_OF_FOLDER
    }
    runs = [Running("geometry-0", "geometry", Queued("runs", "high"), spent=3.0)]
    told = forecast(asked, queue, runs, span)
    assert told == forecast(asked, queue, runs, span)  # the same question, the same answer

    every = [job for jobs in queue.values() for job in jobs] + [runs[0].job]
    assert set(told.times) == {job.id for job in every}
    assert all(0 <= times.starts < times.finishes < math.inf for times in told.times.values())

    by_seat, by_job = defaultdict(list), defaultdict(list)
    for claim in told.claims:
        by_seat[claim.seat].append(claim)
        by_job[claim.job].append(claim)
    for seat in asked:
        mine = by_seat[seat.name]
        assert all(claim.stage in seat.stages for claim in mine)
        # A device does one thing at a time.
        assert all(one.frees <= next_one.begins for one, next_one in itertools.pairwise(mine))
    for job in every:
        order = [claim.stage for claim in by_job[job.id]]
        whole = ["cutout", "geometry", "texture"][: 3 if job.model else 2]
        assert order == whole[len(whole) - len(order) :]
        # A stage begins when the one before it is over, the part beside the device included.
        ends = [claim.begins + sum_of(span, claim.stage, job) for claim in by_job[job.id]]
        if job.id != "runs":
            begins = [claim.begins for claim in by_job[job.id]]
            assert all(end <= begin + 1e-9 for end, begin in zip(ends, begins[1:], strict=False))
            assert told.times[job.id].finishes >= ends[-1] - 1e-9

    makespan = max(times.finishes for times in told.times.values())
    assert makespan <= all_of_it(span, every, told) + 1e-9  # somebody always works
    for seat in asked:
        assert makespan >= sum(claim.frees - claim.begins for claim in by_seat[seat.name]) - 1e-9


def sum_of(span: Takes, stage: str, job: Queued) -> float:
    one = span("", stage, job)
    return one.device + one.finish


def all_of_it(span: Takes, every: Sequence[Queued], told: Forecast) -> float:
    """Seconds that one after the other would take."""
    stage_of = defaultdict(set)
    for claim in told.claims:
        stage_of[claim.job].add(claim.stage)
    return sum(sum_of(span, stage, job) for job in every for stage in stage_of[job.id])


@pytest.mark.parametrize("seed", range(6))
def test_no_seat_rests_while_work_for_it_waits(seed: int) -> None:
    chance = random.Random(seed)

    def span(seat: str, stage: str, job: Queued) -> Span:
        return Span(SECONDS[stage] * (1 + int(job.id) % 7 / 10))

    asked = [FIRST, *(Seat(f"geometry-{at}", ("geometry",)) for at in range(chance.choice((1, 3, 9))))]
    told = forecast(asked, {"inbox": jobs(40)}, [], span)
    began = {(claim.job, claim.stage): claim for claim in told.claims}
    order = ("cutout", "geometry", "texture")
    for claim in told.claims:
        at = order.index(claim.stage)
        came = began[claim.job, order[at - 1]].frees if at else 0.0
        # All that while, each seat that takes this stage was busy.
        for seat in asked:
            if claim.stage in seat.stages:
                busy = [(one.begins, one.frees) for one in told.claims if one.seat == seat.name]
                held = sum(max(0.0, min(end, claim.begins) - max(start, came)) for start, end in busy)
                assert held == pytest.approx(claim.begins - came, abs=1e-6)


def test_the_work_grows_with_the_jobs_and_not_with_their_square(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [FIRST, *(Seat(f"geometry-{at}", ("geometry",)) for at in range(63))]
    decisions = [0]
    order = policy.order

    def counted(*question: Any) -> tuple[str, ...]:
        decisions[0] += 1
        return order(*question)

    monkeypatch.setattr(policy, "order", counted)
    told = forecast(asked, {"inbox": jobs(3000)}, [], takes)
    assert len(told.claims) == 3 * 3000
    assert decisions[0] <= 4 * len(
        told.claims
    )  # per claim a few, however many wait and however many seats there are
