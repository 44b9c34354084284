"""The loop as a job of Dagster: each step is a command, and fails by its exit code."""

import subprocess

from dagster import Definitions, In, Nothing, OpExecutionContext, Out, ScheduleDefinition, job, op

FRAMEWORK = ("/srv/forecast/.venv/bin/python", "-m", "framework", "+experiment=sales")
REFUSED = 3


def framework(context: OpExecutionContext, *overrides: str) -> None:
    """Run a command of the project; a gate that refuses is no failure."""
    ended = subprocess.run(
        [*FRAMEWORK, *overrides], cwd="/srv/forecast", capture_output=True, text=True, check=False
    )
    context.log.info(ended.stdout + ended.stderr)
    if ended.returncode not in (0, REFUSED):
        raise RuntimeError(f"exit {ended.returncode}: {ended.stderr.splitlines()[-1:]}")


@op(out=Out(Nothing))
def ingest(context: OpExecutionContext) -> None:
    framework(context, "run=ingest")


@op(ins={"rows": In(Nothing)}, out=Out(Nothing))
def materialize(context: OpExecutionContext) -> None:
    framework(context, "run=materialize", "materialize.incremental=true")


@op(ins={"rows": In(Nothing)}, out=Out(Nothing))
def monitor(context: OpExecutionContext) -> None:
    framework(context, "run=monitor")


@op(ins={"rows": In(Nothing)}, out=Out(Nothing))
def train(context: OpExecutionContext) -> None:
    framework(context, "run=train")


@op(ins={"pair": In(Nothing)})
def promote(context: OpExecutionContext) -> None:
    framework(context, "run=promote", "alias=production")


@job
def forecasts() -> None:
    rows = ingest()
    materialize(rows)
    monitor(rows)
    promote(train(rows))


definitions = Definitions(
    jobs=[forecasts], schedules=[ScheduleDefinition(job=forecasts, cron_schedule="0 5 * * *")]
)
