"""The facade: a panel for training and a context for serving.

features = Features(run.config, run.make("retrieval"))
panel = features.panel()
context = await features.context(schema, [{"airport": "JFK", "carrier": "DL"}], at=None)
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from framework.config.config import Config
from framework.data.context import Context
from framework.data.frequency import Frequency
from framework.data.panel import Panel
from framework.data.schema import Schema
from framework.data.scratch import IN_MEMORY, Scratch
from framework.interfaces.model import Model
from framework.interfaces.retrieval import RetrievalStrategy
from framework.retrieval.part_panel import Columns
from framework.retrieval.schema import make_schema, past_columns
from framework.retrieval.stored_panel import stored_panel


class Features:
    """Features of one experiment through its retrieval strategy. ``scratch``: where the arrays of
    its panels are kept.
    """

    def __init__(self, config: Config, strategy: RetrievalStrategy) -> None:
        self.config = config
        self.scratch: Scratch = IN_MEMORY
        self.strategy = strategy
        self.categories = config.features.categories()
        self.past = past_columns(config)

    def panel(self, known_at: datetime | None = None, horizon: int | None = None) -> Panel:
        """Read the newest version of every row, joined point-in-time, checked; see
        :mod:`framework.retrieval.stored_panel`.

        Args:
            known_at: Only versions created at or before it.
            horizon: How many steps ahead known columns are looked up for; None: ``panel.horizon``.
        """
        panel = self.config.panel
        columns = Columns(
            panel.targets,
            self.past,
            panel.known,
            self.categories,
            Frequency.parse(panel.frequency),
            horizon or panel.horizon,
        )
        return stored_panel(
            self.strategy, self.config.features, columns, panel.gaps, known_at, self.scratch
        )

    def schema(self, panel: Panel, model: Model) -> Schema:
        """Return the schema of a pair trained on ``panel``: its inputs and its forecasts."""
        return make_schema(self.config, panel, model, self.strategy.max_context_length)

    async def context(
        self, schema: Schema, entities: Sequence[dict[str, str]], at: datetime | None
    ) -> Context:
        """One window per entity, as serving sees it."""
        return await self.strategy.context(self.config.features, schema, entities, at)
