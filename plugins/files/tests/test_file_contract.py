"""``retrieval=file`` keeps the contract of retrieval strategies."""

from pathlib import Path

from framework_files.file import FileRetrieval
from framework_files.options import FileOptions

from framework.testing.contracts.retrieval import RetrievalContract


class TestFile(RetrievalContract):
    def make(self, tmp_path: Path) -> FileRetrieval:
        return FileRetrieval(FileOptions(state=tmp_path / "offline"))
