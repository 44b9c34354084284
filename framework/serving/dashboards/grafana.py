"""Boards as Grafana imports them: the classic JSON model, version 39 of its schema."""

from __future__ import annotations

import hashlib
from typing import Any

from framework.interfaces.dashboard import Board, Panel

_WIDTH, _HEIGHT, _COLUMNS = 12, 8, 2
#: Grafana asks which Prometheus, and which job of it.
_SOURCE = {"type": "prometheus", "uid": "${source}"}


def dashboard(board: Board) -> dict[str, Any]:
    """Write a board.

    Args:
        board: The board.

    Returns:
        The dashboard, to be stored as JSON. Its ``uid`` follows from the board's name, so that an
        import replaces the one before.
    """
    return {
        "uid": hashlib.sha256(f"framework {board.name}".encode()).hexdigest()[:14],
        "title": f"Forecasts: {board.title}",
        "tags": ["framework", "forecasts"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "templating": {
            "list": [
                {
                    "name": "source",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                }
            ]
        },
        "panels": [_panel(number, panel) for number, panel in enumerate(board.panels)],
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, _COLUMNS)
    return {
        "id": number + 1,
        "title": panel.title,
        "type": panel.kind,
        "datasource": _SOURCE,
        "gridPos": {"h": _HEIGHT, "w": _WIDTH, "x": column * _WIDTH, "y": row * _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}}
        if panel.kind == "timeseries"
        else {"reduceOptions": {"calcs": ["lastNotNull"]}},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _SOURCE,
                "expr": expression,
                "legendFormat": legend,
                "range": panel.kind == "timeseries",
                "instant": panel.kind == "stat",
            }
            for place, (expression, legend) in enumerate(panel.queries)
        ],
    }
