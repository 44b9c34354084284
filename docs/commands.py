"""Account for every command and every piece of configuration in the README and the documents.

``python docs/commands.py`` prints a table and the share. Every block is fenced and names its
language. Each command of a ``bash`` block and each ``yaml`` block is one of these:

- ``gate`` or ``stress``: a test of the gate, or of ``make stress``, runs it.
- ``composed``: the product's own loader composes and checks it in the gate. Nothing runs it, for a
  reason of :data:`REASONS` where it is a command.
- ``checked``: what it names exists: a target, a script, a distribution.
- ``left out``: nothing reads it, for a reason of :data:`REASONS`.

``tests/docs/test_commands.py`` fails for a block without an account, and composes every command of
the framework, also those that other tests run.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", "docs/README.md"]
PAGES += [f"docs/{name}.md" for name in ("tutorial", "architecture", "comparison", "glossary")]
for _folder in ("how-to", "reference", "adr"):
    PAGES += sorted(f"docs/{_folder}/{p.name}" for p in (ROOT / "docs" / _folder).glob("*.md"))
PAGES += sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("plugins/*/README.md"))
PAGES.remove("docs/reference/api.md")  # made of the code, without a command
LANGUAGES = {"bash", "yaml", "python", "json", "toml", "ini", "nginx", "sql", "text"}

#: Why nothing runs a command.
REASONS = {
    "form": "it is a form to be filled in",
    "address": "only a publisher has the address",
    "system": "it changes the reader's system",
    "cluster": "it needs a cluster, a GPU or a cloud of the reader's",
    "program": "it belongs to a program that the tests do not install",
    "weights": "it needs the weights of a model",
    "server": "it needs a database server; a plugin's tests run it against one",
    "endless": "it runs until it is stopped; tests of the run play its clock",
    "heavy": "a plugin's tests run the same on less",
}
#: Words of commands that nothing reads.
LEFT_OUT = {
    "python -m framework [+experiment": "form",
    "git clone": "address",
    "systemctl enable": "system",
    "kubectl apply": "cluster",
    "pip install model-signing": "program",
    "model_signing verify": "program",
}
#: Words of commands that are composed and not run.
COMPOSED = {
    "offline_bigquery": "cluster",
    "ray.address=": "cluster",
    "serving.device=cuda": "cluster",
    "ledger=postgresql": "server",
    "SALES_DATABASE": "server",
    "monitor.follow=true": "endless",
    "schedule=": "endless",
    "serving.canary": "endless",
    "model=chronos2": "weights",
    "serving=ray": "heavy",
    "run=tune": "heavy",
    "nlinear": "heavy",
}
RAY = ("stress", "plugins/ray_serve/tests/test_ray_serve_clusters.py")
FEAST = ("stress", "plugins/feast/tests/test_feature_repo.py")
#: What a test of its own runs, by page and words: where it runs, and the file of the test.
RUN = {
    ("docs/tutorial.md", "+experiment=shops"): ("gate", "tests/docs/test_docs.py"),
    ("docs/tutorial.md", "cd examples/project"): ("gate", "tests/docs/test_docs.py"),
    ("docs/tutorial.md", "curl"): ("gate", "tests/docs/test_docs.py"),
    ("docs/how-to/known-in-advance.md", "school: data"): ("gate", "tests/docs/test_events.py"),
    ("docs/how-to/bring-your-own-data.md", "name: months"): ("gate", "tests/docs/test_own_data.py"),
    ("docs/how-to/bring-your-own-data.md", "name: sensor"): ("gate", "tests/docs/test_own_data.py"),
    ("docs/how-to/bring-your-own-data.md", "@package"): ("stress", "tests/docs/test_own_data.py"),
    ("docs/how-to/production.md", "# conf/"): ("stress", "tests/docs/test_production_servers.py"),
    ("docs/how-to/monitor.md", "make loop-demo"): ("stress", "tests/runs/test_loop_demo.py"),
    ("docs/how-to/serve-with-ray.md", "serving.dry_run=true"): RAY,
    ("docs/how-to/serve-with-ray.md", "serve deploy"): RAY,
    ("docs/how-to/choose-features.md", "cd feature_repo"): FEAST,
    ("docs/how-to/choose-features.md", "feast "): FEAST,
}
#: Runs every other command, page by page.
RUNNER = "tests/docs/test_commands_run.py"
#: Programs that it runs beside the framework, and words of the shell.
PROGRAMS = {"openssl", "printf", "grep", "mv", "export", "curl"}
FRAMEWORK = re.compile(r"(?:python -m )?framework(?= )")


@dataclass(frozen=True)
class Unit:
    """A command, or a ``yaml`` block: its page, its line there, its words."""

    page: str
    line: int
    language: str
    text: str

    @property
    def is_framework(self) -> bool:
        """Say whether it is a command of the framework."""
        return self.language == "bash" and "python -m framework " in self.text


@dataclass(frozen=True)
class Account:
    """What becomes of a unit, and the test or the reason."""

    kind: str
    why: str = ""


def blocks(page: str) -> Iterator[Unit]:
    """Give the fenced blocks of a page.

    Raises:
        ValueError: For an indented block, and a fence without a known language.
    """
    lines = (ROOT / page).read_text().splitlines()
    start = -1
    for number, line in enumerate(lines):
        fence = re.match(r" *```(\w*)$", line)
        if fence and start < 0:
            start, language = number, fence[1]
            if language not in LANGUAGES:
                raise ValueError(f"{page}:{number + 1}: '{language}' is none of {LANGUAGES}")
        elif fence:
            yield Unit(page, start + 1, language, dedent("\n".join(lines[start + 1 : number])))
            start = -1
        elif start < 0 and re.match(r" {4,}\S", line) and not lines[number - 1].strip():
            raise ValueError(f"{page}:{number + 1}: an indented block; fence it")


def units(page: str) -> Iterator[Unit]:
    """Give the commands and the configuration of a page, in its order."""
    for block in blocks(page):
        if block.language == "yaml":
            yield block
        elif block.language == "bash":
            for offset, text in _commands(block.text):
                yield Unit(page, block.line + 1 + offset, "bash", text)


def _commands(text: str) -> Iterator[tuple[int, str]]:
    """Give the commands of a block, each with its line; a loop of the shell is one."""
    loop: list[str] = []
    for number, written in enumerate(text.splitlines()):
        line = re.sub(r"\s+# .*", "", written).strip()
        if loop or line.startswith("for "):
            loop.append(line)
            if line == "done":
                yield number - len(loop) + 1, " ; ".join(loop).replace("do ;", "do")
                loop = []
        elif line:
            yield number, line


def account(unit: Unit) -> Account | None:
    """Say what becomes of a unit; None where nothing does."""
    for (page, words), (where, test) in RUN.items():
        if page == unit.page and words in unit.text:
            return Account(where, test)
    if unit.language == "yaml":
        return Account("composed")
    for words, reason in LEFT_OUT.items():
        if unit.text.startswith(words):
            return Account("left out", reason)
    return _of_framework(unit) if unit.is_framework else _of_program(unit)


def _of_framework(unit: Unit) -> Account:
    reason = next((why for words, why in COMPOSED.items() if words in unit.text), None)
    return Account("composed", reason) if reason else Account("stress", RUNNER)


def _of_program(unit: Unit) -> Account | None:
    if unit.text.startswith(("make ", "pip ", "source ", "python benchmarks/")):
        return Account("checked")
    return Account("stress", RUNNER) if unit.text.split()[0] in PROGRAMS else None


def every_unit() -> Iterator[Unit]:
    """Give the commands and the configuration of all pages."""
    for page in PAGES:
        yield from units(page)


def overrides(unit: Unit) -> list[list[str]]:
    """Give the arguments of the framework's command in a unit, one list for each run of a loop.

    ``NAME`` is the example's.
    """
    text = unit.text.replace("NAME", "shops")
    loop = re.fullmatch(r"for (\w+) in (.*?); do (.*?) ; done", text)
    texts = [loop[3].replace(f"${loop[1]}", value) for value in loop[2].split()] if loop else [text]
    return [
        list(shlex.split(FRAMEWORK.split(each, maxsplit=1)[1].split(" | ")[0])) for each in texts
    ]


def share() -> str:
    """Summarize the accounts in one line."""
    accounts = [account(unit) for unit in every_unit()]
    counts = {
        kind: sum(each is not None and each.kind == kind for each in accounts)
        for kind in ("gate", "stress", "composed", "checked", "left out")
    }
    ran = counts["gate"] + counts["stress"]
    read = ran + counts["composed"] + counts["checked"]
    return (
        f"{len(accounts)} commands and pieces of configuration: {counts['gate']} run in the gate, "
        f"{counts['stress']} in make stress, {counts['composed']} composed only, "
        f"{counts['checked']} checked to exist, {counts['left out']} left out by name, "
        f"{accounts.count(None)} without an account: {100 * ran / len(accounts):.0f} % are run, "
        f"{100 * read / len(accounts):.0f} % are run, composed or checked"
    )


if __name__ == "__main__":
    for _unit in every_unit():
        _account = account(_unit) or Account("NOTHING")
        _why = REASONS.get(_account.why, _account.why)
        _words = " ".join(_unit.text.split())[:60]
        print(f"{_unit.page}:{_unit.line}: {_account.kind:9} {_words:60} {_why}")
    print(share())
