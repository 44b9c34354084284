"""The stages of a forecast, each a deployment of its own, and how the ingress asks them."""
