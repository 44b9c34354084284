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
import psutil

from framework.testing import fakes
from framework.testing.contracts.findings import same_bits
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
        codes = {answer.status_code for answer in answers}
        assert codes == {200}, (
            f"requests while the alias moves are answered with {codes}: the next pair is opened "
            "beside the one that serves, and swapped in when it may answer."
        )
        versions = [answer.json()["pair"]["version"] for answer in answers]
        order = [n for n, before in zip(versions, [None, *versions], strict=False) if n != before]
        assert order == [3, 4, 5, 6, 5], (
            f"while the alias moves from 3 to 4, 5, 6 and back to 5, {order} answer: an old pair "
            "answered again after its successor, or one was left out."
        )
        for answer, number in zip(answers, versions, strict=True):
            stamp = answer.json()["pair"]
            assert stamp == make_version(number).stamp("production"), (
                f"an answer of version {number} carries {stamp}."
            )
            same_bits(
                Client.values(answer),
                goldens[number].values[:1],
                f"an answer that says it is of version {number}",
                "it is mixed: one half, or the stamp, is another pair's",
            )

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
                doing = f"a server whose alias moved to version {number}, which fails its proof,"
                status = httpx.get(f"{url}/health/ready", timeout=30).status_code
                state = (status, ready()["status"], ready()["pair"]["version"])
                assert state == (200, "degraded", 3), (
                    f"{doing} says {state} of /health/ready; it goes on with version 3 and says "
                    "that it is degraded."
                )
                metrics = httpx.get(f"{url}/metrics", timeout=30).text
                assert 'framework_degraded{arm="production"} 1' in metrics, (
                    f"{doing} does not say so by framework_degraded."
                )
                answer = httpx.post(f"{url}/predict", json={"rows": [make_row()]}, timeout=30)
                version = answer.json()["pair"]["version"]
                assert version == 3, f"{doing} answers with version {version}."
            registry.point("production", 6)
            wait_for(lambda: ready()["status"] == "ready")
            version = httpx.get(f"{url}/pair", timeout=30).json()["version"]
            assert version == 6, f"after a pair that proves, /pair says version {version}, not 6."
            metrics = httpx.get(f"{url}/metrics", timeout=30).text
            assert 'framework_degraded{arm="production"} 0' in metrics, (
                "framework_degraded stays at 1 after a pair that proves was swapped in."
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
            status = httpx.post(f"{url}/predict", json={"rows": [make_row()]}, timeout=30)
            assert status.status_code == 200, (
                f"a server whose registry is away answers {status.status_code}; it needs the "
                "registry for nothing but the next pair."
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

            status = ask("GET", "/health/ready", None)
            assert status == 200, f"/health/ready without a key is {status}; it needs none."
            for call in (("POST", "/predict"), ("GET", "/metrics"), ("GET", "/pair")):
                codes = [ask(*call, key) for key in (None, "x")]
                assert codes == [401, 401], f"{call} without a key, and with a wrong one: {codes}."
            status = ask("POST", "/predict", "first", "Basic")
            assert status == 401, f"a right key with another scheme than Bearer is {status}."
            for call, expected in (
                (("POST", "/predict"), [200, 403, 200]),
                (("GET", "/metrics"), [403, 200, 403]),
                (("POST", "/admin/reload"), [403, 403, 200]),
            ):
                codes = [ask(*call, key) for key in ("first", "second", "third")]
                assert codes == expected, (
                    f"keys with the scopes predict, metrics and predict,admin get {codes} from "
                    f"{call}, not {expected}."
                )
            answer = http.post("/predict", json={"rows": [make_row()]})
            scheme = answer.headers.get("www-authenticate")
            assert scheme == "Bearer", f"401 comes with WWW-Authenticate {scheme}, not Bearer."
            write(predict="fourth", metrics="second")
            wait_for(lambda: ask("POST", "/predict", "fourth") == 200)
            status = ask("POST", "/predict", "first")
            assert status == 401, f"a key that left the file is answered with {status}."
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
            line = raw.recv(100).splitlines()[:1]
            assert line[0].startswith(b"HTTP/1.1 408"), (
                f"a body that does not come within serving.deadline is answered with {line}."
            )
            slow = httpx.post(
                f"{url}/predict", json={"rows": [make_row(season=fakes.SLOW)] * 300}, timeout=30
            )
            actual = (slow.status_code, slow.headers.get("retry-after"))
            assert actual == (504, "1"), (
                f"a request that takes longer than serving.deadline gets {actual} of status and "
                "Retry-After, not 504 and 1."
            )

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
