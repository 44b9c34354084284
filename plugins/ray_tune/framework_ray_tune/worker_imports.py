"""What a worker imports before its first trial; Ray imports this module when the worker starts."""

from framework_ray.imports import import_all

import_all(("framework_ray_tune.trainable", "framework.tuning.objective"))
