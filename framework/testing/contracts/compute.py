"""Contract suite of computes. Subclass it in a plugin's tests::

class TestMine(ComputeContract):
    def make(self) -> Compute:
        return MyCompute(MyOptions())
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import pytest

from framework.data.arrays import Float64
from framework.errors import DataError
from framework.interfaces.compute import Compute

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


class ComputeContract:
    """The promises of every compute. The functions of the suite can be imported where the core is
    installed.
    """

    @abstractmethod
    def make(self) -> Compute:
        """Make a compute.

        Returns:
            The compute, ready to work.
        """

    def test_the_constructor_only_stores_the_options(self) -> None:
        assert set(vars(self.make())) == {"options"}

    def test_results_come_in_the_order_of_the_items(self) -> None:
        items = [0, 1, 7, 3, 900, 3]
        results = list(self.make().map(_slow_first, _SHARED, items))
        assert results == [_sum(_SHARED, item) for item in items]

    def test_no_items_give_no_results(self) -> None:
        assert list(self.make().map(_sum, _SHARED, [])) == []
        assert list(self.make().stream(_sum, _SHARED, [])) == []

    def test_what_the_function_raises_is_raised_as_it_was(self) -> None:
        with pytest.raises(DataError, match=r"^item -3 is below zero$"):
            list(self.make().map(_sum, _SHARED, [1, -3, 2]))
        with pytest.raises(DataError, match=r"^item -3 is below zero$"):
            list(self.make().stream(_sum, _SHARED, [1, -3, 2]))

    def test_a_stream_gives_every_result_once(self) -> None:
        items = list(range(40))
        results = sorted(self.make().stream(_sum, _SHARED, items))
        assert results == [_sum(_SHARED, item) for item in items]

    def test_an_iterator_may_be_left_before_its_end(self) -> None:
        compute = self.make()
        results = iter(compute.map(_sum, _SHARED, list(range(8))))
        assert next(results) == _sum(_SHARED, 0)
        del results
        assert list(compute.map(_sum, _SHARED, [5])) == [_sum(_SHARED, 5)]
