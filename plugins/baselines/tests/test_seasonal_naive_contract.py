"""The seasonal naive under the public contract suite."""

from framework.testing.contracts.model import ModelContract


class TestSeasonalNaive(ModelContract):
    name = "seasonal_naive"
    local = True
