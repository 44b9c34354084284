"""The loop as a DAG of Airflow: each step is a command, and fails by its exit code."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

FRAMEWORK = "cd /srv/forecast && .venv/bin/python -m framework +experiment=sales"

with DAG(
    "forecasts",
    schedule="0 5 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
):
    ingest = BashOperator(task_id="ingest", bash_command=f"{FRAMEWORK} run=ingest")
    materialize = BashOperator(
        task_id="materialize",
        bash_command=f"{FRAMEWORK} run=materialize materialize.incremental=true",
    )
    monitor = BashOperator(task_id="monitor", bash_command=f"{FRAMEWORK} run=monitor")
    train = BashOperator(task_id="train", bash_command=f"{FRAMEWORK} run=train")
    # a gate that refuses (exit 3) skips what comes after it
    promote = BashOperator(
        task_id="promote",
        bash_command=f"{FRAMEWORK} run=promote alias=production",
        skip_on_exit_code=3,
    )
    ingest >> [materialize, monitor, train]
    train >> promote
