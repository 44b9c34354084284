"""What every search shares, whichever tuner does it: the space, the objective, the record of the
trials.
"""
