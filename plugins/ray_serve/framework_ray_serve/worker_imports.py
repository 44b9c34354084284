"""The imports of a worker before it is a replica; Ray imports this module at the worker's start.

Ray's controller and its proxy are such workers too: a replica imports the services by itself.
"""

from framework_ray.imports import uncollected
from framework_ray.private_parts import SERVE_REPLICA

from framework.interfaces.foreign_parts import find_part

with uncollected():
    find_part(SERVE_REPLICA)
