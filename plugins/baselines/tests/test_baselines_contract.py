"""The naive forecasts under the public contract suite."""

from framework.testing.contracts.model import ModelContract


class TestSeasonalNaive(ModelContract):
    name = "seasonal_naive"
    local = True


class TestSeasonalMean(ModelContract):
    name = "seasonal_mean"
    local = True


class TestDrift(ModelContract):
    name = "drift"
    local = True


class TestMean(ModelContract):
    name = "mean"
    local = True


class TestStrongestNaive(ModelContract):
    name = "strongest_naive"
