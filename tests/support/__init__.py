"""Shared by several test folders: real servers on real ports, small real ONNX models, request bodies, bad requests."""
