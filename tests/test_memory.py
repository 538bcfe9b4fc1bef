"""What fits on a device, with a simulated one: its memory figures and its faults are scripted."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest

from daemon.engines.memory import RESERVE, Memory
from daemon.errors import BadJob, DeviceLost, EngineError

GIB = 1 << 30


class FakeOutOfMemory(RuntimeError):
    """What torch raises when memory does not suffice."""


class Card:
    """A device of so many bytes on which models and one foreign process lie."""

    name = "cuda:1"

    def __init__(self, size: int) -> None:
        self.size = size
        self.models: list[Weighty] = []
        self.foreign = 0
        self.cleaned = 0
        self.dead = False

    def free(self) -> int:
        if self.dead:
            raise DeviceLost("cuda:1 does not answer")
        return self.size - self.foreign - sum(model.takes for model in self.models if model.loaded)

    def total(self) -> int:
        return self.size

    def clean(self) -> None:
        self.cleaned += 1

    def ran_out(self, error: BaseException) -> bool:
        return isinstance(error, FakeOutOfMemory)

    def died(self, error: BaseException) -> bool:
        return "illegal memory access" in str(error)


class Weighty:
    """A model that takes what it wants."""

    def __init__(self, card: Card, name: str, takes: int) -> None:
        self.name, self.takes, self.loaded = name, takes, False
        self.loads = 0
        self.thrift: int | None = None
        self.failing: BaseException | None = None
        card.models.append(self)

    def wants(self) -> int:
        return self.takes

    def economise(self) -> bool:
        if self.thrift is None:
            return False
        self.takes, self.thrift = self.thrift, None
        return True

    def load(self) -> None:
        self.loads += 1
        self.loaded = True
        if self.failing:
            raise self.failing

    def unload(self) -> None:
        self.loaded = False


@pytest.fixture
def card() -> Card:
    return Card(24 * GIB)


@pytest.fixture
def memory(card: Card) -> Memory:
    return Memory(card)


def use(memory: Memory, model: Weighty, step: Callable[[], str] = lambda: "done") -> str:
    return memory.run(model, step, advice="Buy a larger card.")


def failing_once(error: BaseException, times: int = 1) -> Callable[[], str]:
    left = [error] * times

    def step() -> str:
        if left:
            raise left.pop()
        return "done"

    return step


def test_two_models_that_fit_stay_loaded(card: Card, memory: Memory) -> None:
    shape, paint = Weighty(card, "shape", 8 * GIB), Weighty(card, "paint", 14 * GIB)
    for model in (shape, paint, shape, paint):
        assert use(memory, model) == "done"
    assert (shape.loads, paint.loads) == (1, 1)
    assert card.cleaned >= 4  # before each stage


def test_the_one_used_least_recently_makes_room(card: Card, memory: Memory) -> None:
    one, two, three = (Weighty(card, name, 10 * GIB) for name in "abc")
    use(memory, one)
    use(memory, two)
    use(memory, one)
    use(memory, three)
    assert [model.loaded for model in (one, two, three)] == [True, False, True]


def test_admission_goes_by_what_is_measured_not_by_what_the_card_has(card: Card, memory: Memory) -> None:
    card.foreign = 20 * GIB  # somebody's desktop
    shape = Weighty(card, "the shape model", 8 * GIB)
    with pytest.raises(EngineError, match=r"8\.2 GiB on cuda:1; 4\.0 GiB of 24\.0 GiB.*larger card"):
        use(memory, shape)
    assert shape.loads == 0
    card.foreign = 0
    assert use(memory, shape) == "done"


def test_a_model_that_can_do_with_less_does_so_where_it_must(card: Card, memory: Memory) -> None:
    paint = Weighty(card, "paint", 30 * GIB)
    paint.thrift = 12 * GIB
    assert use(memory, paint) == "done"
    assert paint.takes == 12 * GIB


def test_no_thrift_where_eviction_is_enough(card: Card, memory: Memory) -> None:
    shape, paint = Weighty(card, "shape", 10 * GIB), Weighty(card, "paint", 20 * GIB)
    paint.thrift = 5 * GIB
    use(memory, shape)
    use(memory, paint)
    assert paint.takes == 20 * GIB and not shape.loaded


def test_out_of_memory_once_is_nobodys_concern(card: Card, memory: Memory) -> None:
    shape, paint = Weighty(card, "shape", 8 * GIB), Weighty(card, "paint", 8 * GIB)
    use(memory, shape)
    assert use(memory, paint, failing_once(FakeOutOfMemory("CUDA out of memory"))) == "done"
    assert paint.loads == 2 and not shape.loaded


def test_out_of_memory_twice_says_what_to_change(card: Card, memory: Memory) -> None:
    paint = Weighty(card, "the texture model", 20 * GIB)
    with pytest.raises(EngineError) as told:
        use(memory, paint, failing_once(FakeOutOfMemory("Tried to allocate 6.00 GiB\nmore"), 2))
    for words in ("cuda:1", "Tried to allocate 6.00 GiB", "20.0 GiB", "24.0 GiB", "larger card"):
        assert words in str(told.value)
    assert not paint.loaded
    assert use(memory, paint) == "done"  # the next job is not poisoned


def test_out_of_memory_while_loading_counts_too(card: Card, memory: Memory) -> None:
    paint = Weighty(card, "paint", 20 * GIB)
    paint.failing = FakeOutOfMemory("while loading")
    with pytest.raises(EngineError, match="while loading"):
        use(memory, paint)
    assert paint.loads == 2 and not paint.loaded and card.free() == card.size


def test_the_failed_steps_tensors_are_gone_before_the_retry(card: Card, memory: Memory) -> None:
    class Tensor:
        """Something large that a failing step holds."""

    held: list[weakref.ref[Tensor]] = []

    def step() -> str:
        if held:
            gc.collect()
            assert held[0]() is None
            return "done"
        tensor = Tensor()
        held.append(weakref.ref(tensor))
        raise FakeOutOfMemory("no room")

    assert use(memory, Weighty(card, "shape", GIB), step) == "done"


@pytest.mark.parametrize("error", [BadJob("no surface"), EngineError("hiccup"), ValueError("a bug")])
def test_other_errors_pass_and_the_model_stays(card: Card, memory: Memory, error: Exception) -> None:
    shape = Weighty(card, "shape", 8 * GIB)
    with pytest.raises(type(error), match=str(error)):
        use(memory, shape, failing_once(error))
    assert shape.loaded


def test_a_dead_context_is_not_an_ordinary_error(card: Card, memory: Memory) -> None:
    dead = RuntimeError("CUDA error: an illegal memory access was encountered")
    with pytest.raises(DeviceLost, match="cuda:1 does not work any more"):
        use(memory, Weighty(card, "shape", GIB), failing_once(dead))
    card.dead = True
    with pytest.raises(DeviceLost):
        use(memory, Weighty(card, "paint", GIB))


def test_a_context_that_dies_in_the_retry_is_told_as_dead(card: Card, memory: Memory) -> None:
    errors = [RuntimeError("an illegal memory access"), FakeOutOfMemory("first")]

    def step() -> str:
        raise errors.pop()

    with pytest.raises(DeviceLost):
        use(memory, Weighty(card, "shape", GIB), step)


def test_unload_gives_everything_back_once(card: Card, memory: Memory) -> None:
    shape = Weighty(card, "shape", 8 * GIB)
    use(memory, shape)
    assert memory.unload() and not memory.unload()
    assert card.free() == card.size


def test_a_little_is_always_left(card: Card, memory: Memory) -> None:
    exact = Weighty(card, "exact", card.size - RESERVE)
    assert use(memory, exact) == "done"
    memory.unload()
    exact.takes += 1
    with pytest.raises(EngineError):
        use(memory, exact)
