"""Contract suite of computes. Subclass it in a plugin's tests::

class TestMine(ComputeContract):
    def make(self) -> Compute:
        return MyCompute(MyOptions())
"""

from __future__ import annotations

import os
import time
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from framework.data.arrays import Float64
from framework.errors import DataError, FrameworkError
from framework.interfaces.compute import Compute
from framework.testing.contracts.component import only_options
from framework.testing.contracts.findings import refusal, same_bits

_SHARED = np.linspace(0.0, 1.0, 1000)


def _sum(shared: Float64, item: int) -> tuple[int, float]:
    if item < 0:
        raise DataError(f"item {item} is below zero")
    return item, float(shared[:item].sum())


def _slow_first(shared: Float64, item: int) -> tuple[int, float]:
    """Work longer on the earlier items, so that results come in another order than they began."""
    total = 0.0
    for _ in range(2000 if item < 2 else 1):
        total = float(shared[:item].sum())
    return item, total


def _dies(processes: tuple[int, ...], item: int) -> int:
    """End the process of a worker, unless it is the caller's own."""
    if item == 2 and os.getpid() not in processes:
        os._exit(9)
    return item


class ComputeContract:
    """The promises of every compute. The functions of the suite can be imported where the core is
    installed.

    ``workers``: how many items what ``make`` gives works on at a time; a few are enough.
    """

    workers: ClassVar[int] = 2

    @abstractmethod
    def make(self) -> Compute:
        """Make a compute.

        Returns:
            The compute, ready to work.
        """

    def test_the_constructor_only_stores_the_options(self) -> None:
        only_options(self.make())

    def test_results_come_in_the_order_of_the_items(self) -> None:
        items = [0, 1, 7, 3, 900, 3]
        results = list(self.make().map(_slow_first, _SHARED, items))
        expected = [_sum(_SHARED, item) for item in items]
        assert results == expected, (
            f"map of the items {items} gives {results}, not {expected}: results come in the order "
            "of the items, one for each, however they end."
        )

    def test_no_items_give_no_results(self) -> None:
        for name in ("map", "stream"):
            try:
                results = list(getattr(self.make(), name)(_sum, _SHARED, []))
            except Exception as error:
                raise AssertionError(
                    f"{name} of no items raises {error!r}; a run may have none to work on."
                ) from error
            assert results == [], f"{name} of no items gives {results}."

    def test_what_the_function_raises_is_raised_as_it_was(self) -> None:
        for name in ("map", "stream"):
            error = refusal(
                lambda name=name: list(  # type: ignore[misc]
                    getattr(self.make(), name)(_sum, _SHARED, [1, -3, 2])
                ),
                DataError,
                f"{name} of a function that raises DataError",
            )
            assert str(error) == "item -3 is below zero", (
                f"{name} raises {str(error)!r}, not what the function raised, 'item -3 is below "
                "zero': the line is the user's, whichever process it comes from."
            )

    def test_what_the_items_raise_is_raised_as_it_was(self) -> None:
        def items() -> Iterator[int]:
            yield 1
            raise DataError("the second item is not there")

        for name in ("map", "stream"):
            error = refusal(
                lambda name=name: list(  # type: ignore[misc]
                    getattr(self.make(), name)(_sum, _SHARED, items())
                ),
                DataError,
                f"{name} of items whose iterator raises DataError",
            )
            assert str(error) == "the second item is not there", (
                f"{name} raises {str(error)!r}, not what the iterator of the items raised, 'the "
                "second item is not there'."
            )

    def test_items_are_taken_when_there_is_room(self) -> None:
        most, taken_items = 2 * self.workers, list[int]()

        def items() -> Iterator[int]:
            for item in range(5 * most):
                taken_items.append(item)
                yield item

        for name in ("map", "stream"):
            taken_items.clear()
            results = iter(getattr(self.make(), name)(_sum, _SHARED, items()))
            next(results)
            time.sleep(0.1)  # for what takes items in a thread of its own
            ahead = len(taken_items) - 1
            assert ahead <= most, (
                f"{name} has taken {ahead} items more than it gave results, with {self.workers} "
                f"workers: items are large, and made when they are taken; {most} at most, two for "
                "each worker, are taken before their results are."
            )
            assert len(list(results)) == 5 * most - 1, f"{name} does not give every result."

    def test_a_worker_that_dies_is_replaced_or_told_in_one_line(self) -> None:
        items = list(range(6))
        try:
            outcome: Any = sorted(self.make().stream(_dies, (os.getpid(),), items))
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything
            outcome = error
        is_told = isinstance(outcome, FrameworkError) and "\n" not in str(outcome)
        assert outcome == items or is_told, (
            f"stream of {items}, one of which ends its worker, gives {outcome!r}: it gives all "
            "results, or raises a FrameworkError of one line that says what to do next."
        )
        after = list(self.make().map(_sum, _SHARED, [5]))
        assert after == [_sum(_SHARED, 5)], f"map after a worker died gives {after}."

    def test_a_stream_gives_every_result_once(self) -> None:
        items = list(range(40))
        results = sorted(self.make().stream(_sum, _SHARED, items))
        expected = [_sum(_SHARED, item) for item in items]
        assert results == expected, (
            f"stream of {len(items)} items gives {len(results)} results, of which "
            f"{len({*results} & {*expected})} are those of the items; each comes once, in any "
            "order."
        )

    def test_an_iterator_may_be_left_before_its_end(self) -> None:
        compute = self.make()
        results = iter(compute.map(_sum, _SHARED, list(range(8))))
        first = next(results)
        assert first == _sum(_SHARED, 0), f"the first result of eight is {first}."
        del results
        others = list(compute.map(_sum, _SHARED, [5]))
        assert others == [_sum(_SHARED, 5)], (
            f"map after an iterator was left gives {others}: what was started ends with its "
            "iterator, and the next call has nothing of it."
        )

    def test_the_shared_argument_stays_as_it_was(self) -> None:
        shared = np.arange(1000.0)
        list(self.make().map(_sum, shared, [1, 2, 3]))
        same_bits(
            shared,
            np.arange(1000.0),
            "map changes the shared argument of its caller: that",
            "send workers a copy, or the bytes",
        )
