"""One file per run; each holds a function of the run's name that takes a
:class:`framework.plugins.run.Run` and returns the result.
"""
