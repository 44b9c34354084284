"""The ledger: the database that decides which pairs and aliases there are."""
