"""The web application: routes, administration, OpenAPI document."""
