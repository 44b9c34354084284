"""Feature views and the columns that are computed for them."""
