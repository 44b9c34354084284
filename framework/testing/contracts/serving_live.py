"""A serving backend while it serves: it follows aliases, splits, shadows, checks keys.
Checked from outside like :mod:`.backend`.

Subclass :class:`LiveServingContract` beside
:class:`~framework.testing.contracts.serving.ServingContract`, with the same two attributes.
"""

from __future__ import annotations

import socket
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx

from framework.testing import fakes
from framework.testing.contracts.findings import same_bits
from framework.testing.contracts.serving_variants import VariantContract
from framework.testing.folder_registry import FolderRegistry, make_version
from framework.testing.servers.asking import asking, wait_for
from framework.testing.servers.fake_server import Client, make_deployment, make_row


class LiveServingContract(VariantContract):
    """``backend`` and ``options``: the component and its options; the address must be one that is
    free.
    """

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


def _latest_is(answers: list[httpx.Response], number: int) -> bool:
    return bool(answers) and bool(answers[-1].json()["pair"]["version"] == number)
