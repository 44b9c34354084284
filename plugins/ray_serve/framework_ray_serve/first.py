"""What a worker imports before it is a replica; Ray imports this module when the worker starts."""

from framework_ray.imports import import_all

import_all(("ray.serve._private.replica", "framework_ray_serve.application"))
