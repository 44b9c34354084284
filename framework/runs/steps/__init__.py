"""The steps that several runs share."""
