"""``registry=folder``: pairs in a folder that several machines may share."""

from pathlib import Path

from pydantic import PositiveInt

from framework.interfaces.plugin import Component, hookimpl
from framework.options import Options


class FolderOptions(Options):
    """``folder``: where the pairs are. ``keep``: the newest pairs of each name that ``run=prune``
    keeps beside those under an alias.
    """

    folder: Path = Path("${paths.state}/pairs")
    keep: PositiveInt = 5


@hookimpl
def components() -> list[Component]:
    path, summary = "framework_folder.registry:FolderRegistry", "pairs in a folder"
    return [Component("registry", "folder", path, FolderOptions, summary)]
