"""What several processes counted, added up without a folder that they share."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from framework.errors import FrameworkError
from framework.serving.http.metric_registry import added_up
from framework.serving.http.metrics import Metrics
from framework.testing.folder_registry import make_version


def test_two_processes_are_one_server() -> None:
    first, second = Metrics(), Metrics()
    for metrics, count in ((first, 2), (second, 3)):
        for _ in range(count):
            metrics.count_request("/predict", 200, 0.01, "production", 3)
            metrics.observer("predict", "production")(0.01)
        metrics.in_flight.inc(count)
        metrics.show_pair("production", make_version(3), True)
    second.count_request("/predict", 503, 0.01)
    first.show_degraded("production", True)
    second.show_degraded("production", False)
    text = added_up(
        [pickle.loads(pickle.dumps(metrics.families())) for metrics in (first, second)]
    ).decode()
    lines = text.splitlines()
    for line in (
        'framework_requests_total{arm="production",pair="3",route="/predict",status="200"} 5.0',
        'framework_requests_total{arm="",pair="",route="/predict",status="503"} 1.0',
        'framework_stage_seconds_count{arm="production",stage="predict"} 5.0',
        'framework_stage_seconds_bucket{arm="production",le="0.01",stage="predict"} 5.0',
        'framework_stage_seconds_bucket{arm="production",le="0.005",stage="predict"} 0.0',
        "framework_requests_in_flight 5.0",
        'framework_degraded{arm="production"} 1.0',
    ):
        assert line in lines, line
    assert [line.endswith(" 1.0") for line in lines if line.startswith("framework_pair_info{")] == [
        True
    ]
    assert "process_" not in text


def test_one_process_looks_the_same_but_for_what_is_its_own() -> None:
    metrics = Metrics()
    metrics.count_request("/predict", 200, 0.01, "production", 3)
    alone = [line for line in metrics.render().decode().splitlines() if "process_" not in line]
    assert sorted(added_up([metrics.families()]).decode().splitlines()) == sorted(alone)


AFTER_FEAST = """
import os, tempfile
os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp()  # as importing Feast does
import prometheus_client
from framework.serving.http.metrics import Metrics
before = dict(os.environ)
first, second = Metrics(), Metrics()
first.count_request("/predict", 200, 0.01)
assert before == dict(os.environ)
assert 'status="200"} 1.0' in first.render().decode()
assert 'status="200"' not in second.render().decode()
assert os.listdir(os.environ["PROMETHEUS_MULTIPROC_DIR"]) == []
"""


def test_a_server_counts_alone_whatever_was_imported_before() -> None:
    done = subprocess.run(
        [sys.executable, "-c", AFTER_FEAST], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_metric_whose_name_is_taken_is_refused() -> None:
    metrics = Metrics()
    metrics.gauge("drift", "How far the inputs have moved", ["column"]).labels("temp").set(2)
    assert 'drift{column="temp"} 2.0' in metrics.render().decode()
    with pytest.raises(FrameworkError, match="the metric 'framework_requests' cannot be made"):
        metrics.counter("framework_requests", "mine")
