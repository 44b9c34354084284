"""Stands where a raylet wants an agent of the dashboard: waits, and ends with the raylet. Run as a
script, by a bare interpreter.
"""

import os
import time

if __name__ == "__main__":
    raylet = os.getppid()
    while os.getppid() == raylet:
        time.sleep(1)
