"""What several runs share."""
