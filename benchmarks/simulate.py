"""Past one machine: the real policy played by `spool.forecast` for 1 to 64 cards, and what one spool carries.

    python -m benchmarks.simulate [--full]

First the model is held against a measured run: a service with two workers and a sleeping engine does jobs whose times
are drawn before, and the model, told those times and what the service adds to each stage (measured in another run),
says when the last is done. Then it is asked about machines that are not here.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence

from benchmarks.directory import one_directory
from benchmarks.farm import FINISHING, MIXES, SECONDS, Farm, best_split, cards_for
from benchmarks.figures import Curve, Figure, Plot, Section
from benchmarks.pipeline import told
from benchmarks.prediction import against_measured

PER_CARD = {True: 100, False: 20}
_TIMES = ", ".join(f"{name} {row[0]:g}+{row[1]:g}+{row[2]:g} s" for name, row in SECONDS.items())
HOW = (
    "The model is `spool.forecast` with the policy that the workers use. Its stage times for cards are assumed "
    f"({_TIMES}, jittered by a fifth; {FINISHING['geometry']:g} s and {FINISHING['texture']:g} s of finishing beside "
    "the device); {} jobs a card wait at the start. The bound is the work of the busier kind of card, shared evenly, "
    "between the shortest stages that must come before and after."
)


def measure(full: bool) -> Section:
    """Run the comparison, play the farms, count the calls."""
    facts: dict[str, str] = {}
    figures = against_measured(full)
    figures += one_directory(facts)
    counts = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64) if full else (1, 2, 4, 8, 16, 64)
    farms = {
        name: [best_split(cards, mix, PER_CARD[full]) for cards in counts] for name, mix in MIXES.items()
    }
    for name, row in farms.items():
        worst = min(row, key=lambda farm: farm.bound / farm.seconds)
        figures.append(
            Figure(
                f"policy, {name}: worst of 1 to 64 cards (at {worst.cards})",
                "share of the bound",
                [worst.bound / worst.seconds],
            )
        )
        facts[f"best split, {name}"] = ", ".join(
            f"{farm.cards} cards: {farm.texture} + {farm.cards - farm.texture}"
            for farm in row
            if farm.cards > 1
        )
    for hours in (False, True):
        for name in ("all high", "mostly drafts"):
            farm, waited = cards_for(10_000, MIXES[name], hours, 600.0)
            when = "two thirds of them in eight hours" if hours else "at any time"
            figures.append(Figure(f"10,000 jobs a day, {name}, {when}", "cards", [farm.cards]))
            facts[f"10,000 a day, {name}, {when}"] = (
                f"{farm.texture} cards for background removal and texture, {farm.cards - farm.texture} for geometry; "
                f"median {statistics.median(waited):.0f} s, 95 of 100 within {waited[int(0.95 * len(waited))]:.0f} s"
            )
    return Section(
        "simulate", "By simulation", HOW.replace("{}", str(PER_CARD[full])), figures, plots(farms), facts
    )


def plots(farms: Mapping[str, Sequence[Farm]]) -> list[Plot]:
    """Three pictures: how close to the bounds, and how many jobs a day."""
    close = [
        Curve(name, [farm.cards for farm in row], [farm.bound / farm.seconds for farm in row])
        for name, row in farms.items()
    ]
    cut = [
        Curve(
            f"{name}, of an even share",
            [farm.cards for farm in row],
            [farm.whole / farm.seconds for farm in row],
        )
        for name, row in farms.items()
    ]
    many = [
        Curve(name, [farm.cards for farm in row], [farm.per_day for farm in row])
        for name, row in farms.items()
    ]
    return [
        Plot("cards", "The policy against the bound of its split", "cards", "share", close, log_x=True),
        Plot("split", "Against work that could be cut anywhere", "cards", "share", cut, log_x=True),
        Plot("per_day", "Jobs a day", "cards", "jobs", many, log_x=True, log_y=True),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true")
    print(told(measure(parser.parse_args().full)))
