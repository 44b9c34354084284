"""``model=auto``: what the data look like, which set-ups are tried, which one is chosen."""
