"""Bad input through inbox and HTTP. `python -m tests.fuzz.run [--full]` prints its figures in the last line."""

from __future__ import annotations

import argparse
import itertools
import logging
import random
import sys
import tempfile
from pathlib import Path

from tests.fuzz.files import bad_files, names, whole_pictures
from tests.fuzz.inbox import real_engine, through_the_inbox
from tests.fuzz.web import through_http
from tests.support import picture

FILES, NAMES, REQUESTS, REAL = 4000, 600, 1000, 120
"""The long form; the quick one takes a twentieth of the files, a tenth of the names, a sixth of the requests."""


def main() -> int:
    """The command."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--full", action="store_true", help="the long form")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    logging.disable(logging.CRITICAL)
    files, odd, requests = (
        (FILES, NAMES, REQUESTS) if given.full else (FILES // 20, NAMES // 10, REQUESTS // 6)
    )
    pictures = bad_files(files, given.seed)
    dropped = itertools.chain(
        ((f"{number}.png", content) for number, content in enumerate(pictures)),
        ((name, picture()) for name in names(odd, given.seed)),
    )
    seen = through_the_inbox(dropped)
    wrong = seen.wrong
    real = 0
    if given.full:
        # Damaged pictures that still decode are pictures nobody drew: the engine must make something of them.
        some = random.Random(given.seed).sample([*bad_files(FILES, given.seed + 1), *whole_pictures()], REAL)
        with tempfile.TemporaryDirectory() as scratch:
            found = through_the_inbox(
                ((f"{at}.png", content) for at, content in enumerate(some)), real_engine(Path(scratch))
            )
        real = found.sent
        wrong += found.wrong
    answers = through_http(requests)
    wrong += answers.wrong
    for text in wrong:
        print(text)
    codes = ", ".join(f"{code or 'closed'} {times}" for code, times in sorted(answers.codes.items()))
    print(
        f"fuzz: {files} files and {odd} names (done {seen.done}, failed with one of {len(seen.reasons)} reasons "
        f"{seen.failed}, left alone {seen.left_alone}), {real} files through the real engine, "
        f"{answers.codes.total()} requests ({codes}), {len(wrong)} violations"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
