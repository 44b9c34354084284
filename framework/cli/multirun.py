"""The end of a multirun: what each job left in its own folder, as one table and one JSON line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from framework.files import atomic_write
from framework.secrets import masked_tree

RESULT = "result.json"


class Sweeps(Callback):
    """Remembers, in the process that was started, the folder of the multirun it began; Hydra makes
    it from ``hydra.callbacks``.
    """

    directories: list[Path] = []  # noqa: RUF012  of the process: Hydra alone holds the instance

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        self.directories.append(Path(str(config.hydra.sweep.dir)))


def keep_result(result: dict[str, Any], code: int) -> None:
    """Write the result of this Hydra job to its folder, in one step."""
    job = HydraConfig.get()
    path = Path(job.runtime.output_dir) / RESULT
    number = OmegaConf.select(cast(DictConfig, job), "job.num", default=0)  # a single run has none
    overrides = OmegaConf.to_container(
        job.overrides.task, resolve=False
    )  # as they were written: one may name a secret
    body = {"job": number, "overrides": overrides, "exit_code": code, "result": masked_tree(result)}
    with atomic_write(path) as stream:
        stream.write(json.dumps(body, default=str).encode())


def summary(directory: Path) -> tuple[dict[str, Any], int]:
    """``{"run": "sweep", "status", "jobs": […]}`` of all jobs below ``directory``, and the exit
    code: the worst of theirs.

    A job's entry is its own result, with ``job``, ``overrides`` (those that not all jobs share) and
    ``directory``. A job that ended without a result, killed for one, has failed.
    """
    folders = sorted(
        (p for p in directory.iterdir() if p.name.isdigit() and p.is_dir()),
        key=lambda p: int(p.name),
    )
    results = [_read(folder) for folder in folders]
    common_names = (
        set.intersection(*(set(body["overrides"]) for body in results))
        if len(results) > 1
        else set()
    )
    jobs = [
        {
            "job": body["job"],
            "overrides": [o for o in body["overrides"] if o not in common_names],
            "directory": str(folder),
            **body["result"],
        }
        for folder, body in zip(folders, results, strict=True)
    ]
    states = {job["status"] for job in jobs}
    status = (
        "failed" if "failed" in states or not jobs else "refused" if "refused" in states else "done"
    )
    return {"run": "sweep", "status": status, "jobs": jobs}, max(
        (body["exit_code"] for body in results), default=1
    )


def _read(folder: Path) -> dict[str, Any]:
    path = folder / RESULT
    if not path.is_file():
        result = {
            "run": None,
            "status": "failed",
            "error": "the job ended without a result: its process was killed.",
        }
        return {"job": int(folder.name), "overrides": [], "exit_code": 1, "result": result}
    body: dict[str, Any] = json.loads(path.read_text())
    return body


def figures(jobs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One flat row a job for the table: job, the swept keys, status, the model's metrics or the
    best value, the pair.
    """
    rows = []
    for job in jobs:
        row: dict[str, Any] = {"job": job["job"]}
        row |= dict(
            override.lstrip("+").split("=", 1) for override in job["overrides"] if "=" in override
        )
        row["status"] = job["status"]
        row |= (job.get("metrics") or {}).get("model") or {}
        if job.get("best"):
            row["best"] = job["best"]["value"]
        if job.get("pair"):
            row["pair"] = job["pair"]["version"]
        if job.get("error"):
            row["error"] = job["error"]
        rows.append(row)
    return rows
