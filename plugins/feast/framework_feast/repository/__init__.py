"""The feature store of a configuration, and its views as Feast declares them."""
