"""Runs and trials as MLflow shows them."""
