"""TensorFlow Serving's REST API: its JSON in (request) and out (answer), and its routes."""
