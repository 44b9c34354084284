"""A serving backend while it serves: it follows aliases, splits, shadows, checks keys.
Checked from outside like :mod:`.backend`.

Subclass :class:`LiveServingContract` beside
:class:`~framework.testing.contracts.serving.ServingContract`, with the same two attributes.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import httpx
import numpy as np
import psutil

from framework.testing import fakes
from framework.testing.folder_registry import FolderRegistry, make_version
from framework.testing.servers.asking import asking, wait_for
from framework.testing.servers.fake_server import Client, make_deployment, make_row, server_process


class LiveServingContract:
    """``backend`` and ``options``: the component and its options; the address must be one that is
    free.
    """

    backend: ClassVar[str]
    options: ClassVar[dict[str, Any]]

    def test_it_follows_its_alias_without_a_failed_or_mixed_answer(self, tmp_path: Path) -> None:
        """Promotions and a rollback under load: every answer is one pair's own."""
        registry = FolderRegistry(tmp_path)
        make_deployment(tmp_path)
        for number in (4, 5, 6):
            registry.add(number)
        goldens = {number: fakes.make_pair(shift=float(number))[1] for number in (3, 4, 5, 6)}
        with self.reloading(tmp_path) as url, asking(url) as answers:
            for number in (3, 4, 5, 6, 5):
                registry.point("production", number)
                wait_for(partial(_latest_is, answers, number))
        assert {answer.status_code for answer in answers} == {200}
        versions = [answer.json()["pair"]["version"] for answer in answers]
        assert [
            n for n, before in zip(versions, [None, *versions], strict=False) if n != before
        ] == [3, 4, 5, 6, 5]
        for answer, number in zip(answers, versions, strict=True):
            assert answer.json()["pair"] == make_version(number).stamp("production")
            assert np.array_equal(Client.values(answer), goldens[number].values[:1])

    def test_a_pair_that_fails_its_proof_is_not_swapped_in(self, tmp_path: Path) -> None:
        """A file of it was changed, or it answers otherwise than it did when it was
        trained.
        """
        registry = FolderRegistry(tmp_path)
        make_deployment(tmp_path)
        for number in (4, 5, 6):
            registry.add(number)
        registry.change_byte(4)
        registry.change_answers(5)
        with self.reloading(tmp_path) as url:

            def ready() -> Any:
                return httpx.get(f"{url}/health/ready", timeout=30).json()

            def refused(number: int) -> bool:
                return f"version {number} is not served" in ready().get("reasons", {}).get(
                    "production", ""
                )

            for number in (4, 5):
                registry.point("production", number)
                wait_for(partial(refused, number))
                assert httpx.get(f"{url}/health/ready", timeout=30).status_code == 200
                assert ready()["status"] == "degraded"
                assert ready()["pair"] == make_version(3).stamp("production")
                assert (
                    'framework_degraded{arm="production"} 1'
                    in httpx.get(f"{url}/metrics", timeout=30).text
                )
                assert (
                    httpx.post(f"{url}/predict", json={"rows": [make_row()]}, timeout=30).json()[
                        "pair"
                    ]["version"]
                    == 3
                )
            registry.point("production", 6)
            wait_for(lambda: ready()["status"] == "ready")
            assert httpx.get(f"{url}/pair", timeout=30).json()["version"] == 6
            assert (
                'framework_degraded{arm="production"} 0'
                in httpx.get(f"{url}/metrics", timeout=30).text
            )

    def test_a_registry_that_is_gone_changes_nothing_but_the_readiness(
        self, tmp_path: Path
    ) -> None:
        registry = FolderRegistry(tmp_path)
        with self.reloading(tmp_path) as url:
            registry.take_away()
            wait_for(
                lambda: httpx.get(f"{url}/health/ready", timeout=30).json()["status"] == "degraded"
            )
            assert (
                httpx.post(f"{url}/predict", json={"rows": [make_row()]}, timeout=30).status_code
                == 200
            )
            registry.bring_back()
            wait_for(
                lambda: httpx.get(f"{url}/health/ready", timeout=30).json()["status"] == "ready"
            )

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
                assert mixed["pair"] is None
                assert [f["entity"] for f in mixed["forecasts"]] == entities
                arms.append([f.pop("pair")["alias"] for f in mixed["forecasts"]])
                many = http.post("/predict/feast/batch", json={"entities": entities}).json()[
                    "forecasts"
                ]
                assert [f["pair"]["alias"] for f in many] == arms[-1]
                for row, entity, forecast, arm in list(
                    zip(rows, entities, mixed["forecasts"], arms[-1], strict=True)
                )[:10]:
                    single = http.post("/predict", json={"rows": [row]}).json()
                    assert single["pair"]["alias"] == arm
                    assert single["forecasts"] == [forecast]
                    assert (
                        http.post("/predict/feast", json={"entity": entity}).json()["pair"]["alias"]
                        == arm
                    )
                response = http.post(
                    "/predict", json={"rows": rows}, headers={"X-Framework-Arm": "tester"}
                ).json()
                assert response["pair"] == make_version(5).stamp("tester")
                assert (
                    http.post("/predict?arm=candidate", json={"rows": rows}).json()["pair"][
                        "version"
                    ]
                    == 4
                )
                refused = http.post("/predict?arm=nobody", json={"rows": rows})
                assert (refused.status_code, refused.json()["error"]["path"]) == (422, "arm")
                assert "production, candidate, tester" in refused.json()["error"]["message"]
        assert arms[0] == arms[1]
        assert 5 <= arms[0].count("candidate") <= 25
        assert arms[0].count("candidate") + arms[0].count("production") == 50

    def test_a_variant_that_cannot_be_had_leaves_its_entities_to_the_served_pair(
        self, tmp_path: Path
    ) -> None:
        registry = FolderRegistry(tmp_path)
        with self.reloading(tmp_path, split={"candidate": 100}) as url:
            assert "candidate" in httpx.get(f"{url}/health/ready", timeout=30).json()["reasons"]
            assert (
                httpx.post(f"{url}/predict", json={"rows": [make_row()]}, timeout=30).json()[
                    "pair"
                ]["version"]
                == 3
            )
            registry.add(4)
            registry.point("candidate", 4)
            wait_for(
                lambda: httpx.get(f"{url}/health/ready", timeout=30).json()["status"] == "ready"
            )
            assert (
                httpx.post(f"{url}/predict", json={"rows": [make_row()]}, timeout=30).json()[
                    "pair"
                ]["version"]
                == 4
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
                assert answer.json()["pair"]["version"] == 3
                return answer.content

            body = ask("spring")
            wait_for(lambda: outcomes("answered") >= 1)
            for _ in range(6):  # each takes the shadow half a second, too
                slow = ask(fakes.SLOW)
            assert slow == ask(fakes.SLOW)
            wait_for(lambda: ask("spring") == body and outcomes("dropped") >= 1)
            shadows = self.shadow_processes(process.pid, url)
            assert shadows
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
                    assert http.get("/admin/canary").json()["halted"] is not None
                    assert version() == 3
                    registry.point("canary", 5)
                    wait_for(lambda http=http: http.get("/admin/canary").json()["halted"] is None)  # type: ignore[misc]
                    continue
                assert version() == 3
                assert http.post("/admin/canary", json={"share": 101}).status_code == 422
                assert http.post("/admin/canary", json={"share": 100}).json() == {
                    "alias": "canary",
                    "share": 100.0,
                    "halted": None,
                }
                assert version() == 4
                for _ in range(20):
                    version(season=fakes.BROKEN)
                wait_for(lambda: version() == 3)
                wait_for(lambda http=http: http.get("/admin/canary").json()["halted"] is not None)  # type: ignore[misc]

    def test_keys_open_what_their_scopes_say_and_are_changed_without_a_restart(
        self, tmp_path: Path
    ) -> None:
        file = tmp_path / "keys"

        def write(**keys: str) -> None:
            lines = [
                f"{scopes.replace('_', ',')} {sha256(key.encode()).hexdigest()}"
                for scopes, key in keys.items()
            ]
            file.with_suffix(".new").write_text("# who may ask\n" + "\n".join(lines))
            file.with_suffix(".new").replace(file)

        write(predict="first", metrics="second", predict_admin="third")
        with (
            self.reloading(tmp_path, access={"keys_file": str(file)}) as url,
            httpx.Client(base_url=url, timeout=30) as http,
        ):

            def ask(method: str, path: str, key: str | None, scheme: str = "Bearer") -> int:
                headers = {} if key is None else {"Authorization": f"{scheme} {key}"}
                return http.request(
                    method,
                    path,
                    headers=headers,
                    json={"rows": [make_row()]} if method == "POST" else None,
                ).status_code

            assert ask("GET", "/health/ready", None) == 200
            assert {
                ask(*call, key)
                for call in (("POST", "/predict"), ("GET", "/metrics"), ("GET", "/pair"))
                for key in (None, "x")
            } == {401}
            assert ask("POST", "/predict", "first", "Basic") == 401
            assert [ask("POST", "/predict", key) for key in ("first", "second", "third")] == [
                200,
                403,
                200,
            ]
            assert [ask("GET", "/metrics", key) for key in ("first", "second", "third")] == [
                403,
                200,
                403,
            ]
            assert [ask("POST", "/admin/reload", key) for key in ("first", "second", "third")] == [
                403,
                403,
                200,
            ]
            answer = http.post("/predict", json={"rows": [make_row()]})
            assert answer.headers["www-authenticate"] == "Bearer"
            write(predict="fourth", metrics="second")
            wait_for(lambda: ask("POST", "/predict", "fourth") == 200)
            assert ask("POST", "/predict", "first") == 401
            file.write_text("predict nonsense")
            wait_for(lambda: ask("POST", "/predict", "fourth") == 200)

    def test_a_body_that_does_not_come_is_given_up(self, tmp_path: Path) -> None:
        with (
            self.reloading(tmp_path, deadline=0.3) as url,
            socket.create_connection((httpx.URL(url).host, httpx.URL(url).port)) as raw,
        ):
            path = f"{httpx.URL(url).path.rstrip('/')}/predict".encode()
            raw.sendall(
                b"POST %s HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{" % path
            )
            raw.settimeout(30)
            assert raw.recv(100).startswith(b"HTTP/1.1 408")
            slow = httpx.post(
                f"{url}/predict", json={"rows": [make_row(season=fakes.SLOW)] * 300}, timeout=30
            )
            assert (slow.status_code, slow.headers["retry-after"]) == (504, "1")

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


def _latest_is(answers: list[httpx.Response], number: int) -> bool:
    return bool(answers) and bool(answers[-1].json()["pair"]["version"] == number)
