"""Who calls: addresses, API keys, and limits per client."""
