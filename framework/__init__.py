"""Declarative forecasting: from a panel of time series to a served, monitored forecast by
configuration alone.
"""

__version__ = "0.1.0"
