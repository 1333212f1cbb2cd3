"""Load runs against the ceiling, the peers and onnxruntime itself. README.md says how to run and read them."""
