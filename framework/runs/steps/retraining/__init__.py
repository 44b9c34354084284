"""The parts of a retraining: attempts on disk, the candidates, the verdict."""
