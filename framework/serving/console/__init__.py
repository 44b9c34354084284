"""The console: one page at ``/`` that shows what a server serves, and the JSON endpoints below
``/console/`` that it reads.

Every endpoint answers from a thread or from what was read a moment ago: no forecast waits for the
console.
"""
