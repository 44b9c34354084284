"""Declarative forecasting: from a panel of time series to a served, monitored forecast by
configuration alone.
"""

import os

__version__ = "0.1.0"

# Threads of OpenMP that wait sleep instead of spinning. Read when a library that uses it is loaded,
# so it is said first of all. On two cores that were busy with other work, XGBoost took 9 to 12 s
# spinning for what it does in 0.4 to 1.2 s like this.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
