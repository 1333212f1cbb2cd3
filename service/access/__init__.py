"""Who may call: under which names, and from the web pages of which origins."""
