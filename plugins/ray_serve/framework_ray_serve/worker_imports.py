"""The imports of a worker before it is a replica; Ray imports this module at the worker's start."""

from framework_ray.imports import import_all, uncollected
from framework_ray.private_parts import SERVE_REPLICA

from framework.interfaces.foreign_parts import find_part

with uncollected():
    find_part(SERVE_REPLICA)
    import_all(("framework_ray_serve.application",))
