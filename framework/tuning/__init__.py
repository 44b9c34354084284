"""The parts that every search shares: the space, the objective, the record of the trials."""
