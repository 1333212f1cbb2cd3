"""Load runs and studies of speed and memory. README.md says how to run them and how to read the results."""
