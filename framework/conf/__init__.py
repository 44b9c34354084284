"""The core's own compositions, on every Hydra search path after the project's ``conf/``."""
