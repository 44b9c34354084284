"""Imported first by the process whose copies are the workers: the garbage collector does not look
through what is imported after it. Enabled again by :mod:`framework_fastapi.original`.
"""

import gc

gc.disable()
