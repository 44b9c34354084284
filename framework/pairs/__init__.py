"""The pair: how it is fitted, written, proven, loaded and used."""
