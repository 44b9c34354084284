"""Rolling-origin backtests, metrics, and the checks that a promotion asks for."""
