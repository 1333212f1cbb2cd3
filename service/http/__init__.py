"""HTTP handling that all protocols share: middleware, bodies, compression, negotiation, dependencies, errors."""
