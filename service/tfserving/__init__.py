"""TensorFlow Serving's REST API: parsing requests (request), encoding answers (answer), and the routes."""
