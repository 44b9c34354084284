"""The imports of a worker before its first trial; Ray imports this module at the worker's start."""

from framework_ray.imports import import_all

import_all(("framework_ray_tune.trainable", "framework.tuning.objective"))
