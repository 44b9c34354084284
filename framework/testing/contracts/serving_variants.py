"""The part of the contract of serving backends that is about several pairs at once.

:class:`framework.testing.contracts.serving_live.LiveServingContract` holds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import httpx
import psutil

from framework.testing import fakes
from framework.testing.folder_registry import FolderRegistry, make_version
from framework.testing.servers.asking import wait_for
from framework.testing.servers.fake_server import make_deployment, make_row, server_process


class VariantContract:
    """``backend`` and ``options``: the component and its options."""

    backend: ClassVar[str]
    options: ClassVar[dict[str, Any]]

    def test_shares_are_sticky_by_entity_and_an_answer_of_several_arms_names_each(
        self, tmp_path: Path
    ) -> None:
        registry = FolderRegistry(tmp_path)
        make_deployment(tmp_path)
        for number, alias in ((4, "candidate"), (5, "tester")):
            registry.add(number)
            registry.point(alias, number)
        rows = [make_row(airport=f"A{i}") for i in range(50)]
        entities = [{"airport": row["airport"], "carrier": "DL"} for row in rows]
        arms = []
        for _ in range(2):  # a restart changes nothing
            with (
                self.reloading(tmp_path, split={"candidate": 30, "tester": 0}) as url,
                httpx.Client(base_url=url, timeout=30) as http,
            ):
                mixed = http.post("/predict", json={"rows": rows}).json()
                assert mixed["pair"] is None, (
                    f"an answer of several arms carries the pair {mixed['pair']} as a whole; each "
                    "forecast carries its own."
                )
                order = [f["entity"] for f in mixed["forecasts"]]
                assert order == entities, "an answer of several arms is not in the rows' order."
                arms.append([f.pop("pair")["alias"] for f in mixed["forecasts"]])
                many = http.post("/predict/feast/batch", json={"entities": entities}).json()[
                    "forecasts"
                ]
                looked_up = [f["pair"]["alias"] for f in many]
                assert looked_up == arms[-1], (
                    "an entity that is looked up gets another arm than when its row is posted."
                )
                for row, entity, forecast, arm in list(
                    zip(rows, entities, mixed["forecasts"], arms[-1], strict=True)
                )[:10]:
                    single = http.post("/predict", json={"rows": [row]}).json()
                    doing = f"{entity} alone, which had the arm {arm} among others,"
                    alias = single["pair"]["alias"]
                    assert alias == arm, f"{doing} gets the arm {alias}; shares go by the entity."
                    assert single["forecasts"] == [forecast], f"{doing} gets another forecast."
                    one = http.post("/predict/feast", json={"entity": entity}).json()
                    alias = one["pair"]["alias"]
                    assert alias == arm, f"{doing} gets the arm {alias} when it is looked up."
                response = http.post(
                    "/predict", json={"rows": rows}, headers={"X-Framework-Arm": "tester"}
                ).json()
                assert response["pair"] == make_version(5).stamp("tester"), (
                    f"X-Framework-Arm: tester is answered by {response['pair']}."
                )
                other = http.post("/predict?arm=candidate", json={"rows": rows}).json()
                assert other["pair"]["version"] == 4, f"?arm=candidate gets {other['pair']}."
                refused = http.post("/predict?arm=nobody", json={"rows": rows})
                error = refused.json()["error"]
                assert (refused.status_code, error["path"]) == (422, "arm"), (
                    f"?arm=nobody gets {refused.status_code} with the path {error['path']}."
                )
                for alias in ("production", "candidate", "tester"):
                    assert alias in error["message"], (
                        f"?arm=nobody is refused without naming the arm {alias}: {error['message']}"
                    )
        assert arms[0] == arms[1], "after a restart entities have other arms."
        counts = {arm: arms[0].count(arm) for arm in {*arms[0]}}
        assert 5 <= counts["candidate"] <= 25, f"a split of 30 % gives {counts} of 50 entities."
        assert {*counts} == {"candidate", "production"}, (
            f"a split of 30 % and 0 % gives {counts}; a share of 0 is asked by name alone."
        )

    def test_a_variant_that_cannot_be_had_leaves_its_entities_to_the_served_pair(
        self, tmp_path: Path
    ) -> None:
        registry = FolderRegistry(tmp_path)
        with self.reloading(tmp_path, split={"candidate": 100}) as url:
            reasons = httpx.get(f"{url}/health/ready", timeout=30).json()["reasons"]
            assert "candidate" in reasons, (
                f"a variant whose alias does not exist is not among the reasons {reasons}."
            )
            answer = httpx.post(f"{url}/predict", json={"rows": [make_row()]}, timeout=30).json()
            assert answer["pair"]["version"] == 3, (
                f"while a variant cannot be had, its entities get {answer['pair']}, not the "
                "served pair."
            )
            registry.add(4)
            registry.point("candidate", 4)
            wait_for(
                lambda: httpx.get(f"{url}/health/ready", timeout=30).json()["status"] == "ready"
            )
            answer = httpx.post(f"{url}/predict", json={"rows": [make_row()]}, timeout=30).json()
            assert answer["pair"]["version"] == 4, (
                f"a variant of 100 % that has come answers with {answer['pair']}."
            )

    def test_a_shadow_is_asked_and_changes_no_byte_whether_it_answers_hangs_or_crashes(
        self, tmp_path: Path
    ) -> None:
        registry = FolderRegistry(tmp_path)
        make_deployment(tmp_path)
        registry.add(4)
        registry.point("challenger", 4)
        options = {**self.options, "shadow": {"aliases": ["challenger"], "queue": 2}}
        with (
            server_process(self.backend, options, tmp_path) as (process, url),
            httpx.Client(base_url=url) as http,
        ):

            def outcomes(name: str) -> float:
                key = f'framework_shadow_requests_total{{arm="challenger",outcome="{name}"}}'
                lines = [
                    line for line in http.get("/metrics").text.splitlines() if line.startswith(key)
                ]
                return float(lines[0].rpartition(" ")[2]) if lines else 0.0

            def ask(season: str) -> bytes:
                answer = http.post("/predict", json={"rows": [make_row(season=season)]})
                version = answer.json()["pair"]["version"]
                assert version == 3, f"with a shadow the served pair's answer is of {version}."
                return answer.content

            body = ask("spring")
            wait_for(lambda: outcomes("answered") >= 1)
            for _ in range(6):  # each takes the shadow half a second, too
                slow = ask(fakes.SLOW)
            assert slow == ask(fakes.SLOW), "a shadow that is slow changes the served answer."
            wait_for(lambda: ask("spring") == body and outcomes("dropped") >= 1)
            shadows = self.shadow_processes(process.pid, url)
            assert shadows, "no process of a shadow is found: shadow_processes says how to."
            for shadow in shadows:
                shadow.kill()
            wait_for(lambda: ask("spring") == body and outcomes("crashed") >= 1)
            before = outcomes("answered")
            wait_for(lambda: ask("spring") == body and outcomes("answered") > before)

    def test_a_canary_is_set_by_hand_and_falls_when_it_fails(self, tmp_path: Path) -> None:
        registry = FolderRegistry(tmp_path)
        make_deployment(tmp_path)
        for number in (4, 5):
            registry.add(number)
        registry.point("canary", 4)
        canary = {"alias": "canary", "steps": [0, 100], "seconds": 3600, "forecasts": 20}
        entity = make_row()
        for start in range(2):
            with (
                self.reloading(tmp_path, canary=canary) as url,
                httpx.Client(base_url=url, timeout=30) as http,
            ):

                def version(http: httpx.Client = http, **changed: Any) -> int:
                    return int(
                        http.post("/predict", json={"rows": [{**entity, **changed}]}).json()[
                            "pair"
                        ]["version"]
                    )

                if start:  # what fell stays down after a restart, until its alias moves
                    halted = http.get("/admin/canary").json()["halted"]
                    assert halted is not None, "a canary that fell is forgotten by a restart."
                    assert version() == 3, "a canary that fell answers again after a restart."
                    registry.point("canary", 5)
                    wait_for(lambda http=http: http.get("/admin/canary").json()["halted"] is None)  # type: ignore[misc]
                    continue
                assert version() == 3, "a canary of 0 % answers."
                status = http.post("/admin/canary", json={"share": 101}).status_code
                assert status == 422, f"a share of 101 % is answered with {status}."
                state = http.post("/admin/canary", json={"share": 100}).json()
                assert state == {"alias": "canary", "share": 100.0, "halted": None}, (
                    f"a share that is set by hand is answered with {state}."
                )
                assert version() == 4, "a canary of 100 % does not answer."
                for _ in range(20):
                    version(season=fakes.BROKEN)
                wait_for(lambda: version() == 3)
                wait_for(lambda http=http: http.get("/admin/canary").json()["halted"] is not None)  # type: ignore[misc]

    def shadow_processes(self, pid: int, url: str) -> list[psutil.Process]:
        """Find the processes of the shadows.

        Args:
            pid: The server's process.
            url: Its base URL.

        Returns:
            The processes.
        """
        return [
            p
            for p in psutil.Process(pid).children(recursive=True)
            if "spawn_main" in " ".join(p.cmdline())
        ]

    @contextmanager
    def reloading(self, directory: Path, **options: Any) -> Iterator[str]:
        """Run a server that looks at its aliases often.

        Args:
            directory: Where its deployment is.
            options: Options of the backend that differ.

        Yields:
            The base URL.
        """
        with server_process(
            self.backend, {**self.options, "reload": {"seconds": 0.1}, **options}, directory
        ) as (_, url):
            yield url
