"""The toolkit of retrieval strategies: the row store, the point-in-time join, freshness."""
