"""The plugin of pytest: the fixtures of :mod:`framework.testing.fixtures`."""

from framework.testing.fixtures import panels, project, registry, server

__all__ = ["panels", "project", "registry", "server"]
