"""``registry=mlflow``: pairs in the ledger, shown in MLflow."""
