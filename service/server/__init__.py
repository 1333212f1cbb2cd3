"""The process: ports, uvicorn's protocol and its limits, workers, draining, the container's resources."""
