"""The composed configuration: its sections, its groups, what is selected, what is recorded."""
