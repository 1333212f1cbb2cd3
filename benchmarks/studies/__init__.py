"""Studies: each module answers one question about speed or memory. README.md of benchmarks/ has their results."""
