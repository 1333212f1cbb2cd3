"""The service's own HTTP API: one file per resource."""
