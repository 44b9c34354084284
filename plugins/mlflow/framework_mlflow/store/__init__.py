"""MLflow itself: its client, its database, its versions of both halves."""
