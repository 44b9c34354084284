"""The Ray cluster: the one that is started or used, and the manifests of one that is elsewhere."""
