"""Intended differences from Triton's answers, each as "difference: reason". The test fails where one no longer exists.

One rule needs no entry (compare.py): where Triton answers a bad request (bad JSON, a negative dimension, a number that
does not fit a byte) with 500 or INTERNAL, the service answers with 400 or INVALID_ARGUMENT.
"""

from __future__ import annotations

OURSELVES = "body.name is 'digit-recognizer': the service reports its own name and the extensions that it offers"
HEALTH = "body is {: the protocol specifies a body for the health calls; Triton sends none, and clients read the status"
NOT_OFFERED = "status 404: this extension is not offered, and not listed in /v2"
NOT_FOUND = (
    "status 404: a missing model or version is 404 in every call; Triton answers 400 in some calls and 404 in others"
)
VERSIONS = "version_policy: the promoted version is served, which need not be the newest"
UNLOADED = (
    "status 503: unloading is temporary: Retry-After makes a balancer try another instance; Triton's 404 is final"
)
INDEX = "body has 2 entries: versions that are not served are listed too, with the reason"
EMPTY = "body is {}: an empty object; Triton declares application/json and sends an empty body"
PACKING = (
    "content-encoding None: HTTP libraries accept both by default, and compression costs more than the model; "
    "a client that accepts only one coding, as tritonclient does, gets it"
)
TAKEN = "status 200: "
SHAPES = "status 200: pixels may also be [n, 28, 28] or [n, 784], as in the other calls of the service"

HTTP: dict[str, str] = {
    "GET /v2": OURSELVES,
    "GET /v2/": "status 200: the OpenAPI description has /v2/, the protocol's text /v2; both are served",
    "GET /v2/health/live": HEALTH,
    "GET /v2/health/ready": HEALTH,
    "GET /v2/logging": NOT_OFFERED,
    "GET /v2/trace/setting": NOT_OFFERED,
    "GET /v2/systemsharedmemory/status": NOT_OFFERED,
    "GET /v2/cudasharedmemory/status": NOT_OFFERED,
    "GET /v2/models/digits/ready": HEALTH,
    "GET /v2/models/digits/versions/2/ready": HEALTH,
    "GET /v2/models/digits/versions/1/ready": NOT_FOUND,
    "GET /v2/models/digits/versions/99/ready": NOT_FOUND,
    "GET /v2/models/nothing/ready": NOT_FOUND,
    "GET /v2/models/digits/config": VERSIONS,
    "GET /v2/models/digits/versions/2/config": VERSIONS,
    "GET /v2/models/digits/versions/1/stats": NOT_FOUND,
    "GET /v2/models/digits/versions/99/stats": NOT_FOUND,
    "GET /v2/models/nothing/stats": NOT_FOUND,
    "POST /v2/repository/index": INDEX,
    "POST /v2/repository/index {}": INDEX,
    'POST /v2/repository/index {"ready": true}': "also has reason: the protocol has it; empty for a served version",
    "POST /v2/repository/index []": "status 400: the call takes an object, not a list",
    "POST /v2/repository/models/digits/load": EMPTY,
    "POST /v2/repository/models/nothing/load": NOT_FOUND,
    "POST /v2/repository/models/nothing/unload": "status 404: a misspelt name must not look like success",
    "id null": TAKEN + "null means absent, as many clients serialise it",
    "parameters nested": TAKEN + "unknown parameters are ignored, whatever their values",
    "shape 784": SHAPES,
    "shape without channel": SHAPES,
    "shape huge": "status 413: more digits than one request may hold; in Triton the product overflows",
    "value 256": "status 400: it does not fit a byte; Triton reads it as 0",
    "value 1.0": TAKEN + "an integer in the form that pandas may write",
    "an output twice": "status 400: the client's mistake is reported; Triton answers once",
    "raw, three digits": TAKEN + "a raw request may hold several digits; Triton accepts one only",
    "brotli": "status 415: the HTTP status for an unsupported coding; Triton answers 501",
    "answer gzip or deflate": PACKING,
    "POST /v2/repository/models/digits/unload": EMPTY,
    "unloaded: infer": UNLOADED,
    "unloaded: ready": UNLOADED,
    "unloaded: metadata": UNLOADED,
    "unloaded: index": INDEX,
    "unloaded: server ready": "status 503: the same as /health/ready; Triton answers 400",
    "load again": EMPTY,
}

LABELS = "NOT_FOUND: a version may be a label, so x is a label that does not exist; Triton accepts numbers only"
MISSING = "NOT_FOUND: a missing model or version is NOT_FOUND in every call; Triton answers INVALID_ARGUMENT here"
NOT_HERE = "UNIMPLEMENTED: this extension is not offered, and not listed by ServerMetadata"
CONFIG = "version_policy: the promoted version is served; the platform is filled in, and no pinned memory is used"

GRPC: dict[str, str] = {
    "ServerMetadata": "message.name is 'digit-recognizer': the service reports its own name",
    "ModelReady digits x": "OK (None): a version may be a label, so x is a label that is not ready",
    "ModelMetadata digits x": LABELS,
    "ModelConfig digits": CONFIG,
    "ModelConfig digits 2": CONFIG,
    "ModelConfig digits x": LABELS,
    "ModelStatistics digits 1": MISSING,
    "ModelStatistics digits 99": MISSING,
    "ModelStatistics digits x": LABELS,
    "ModelStatistics nothing": MISSING,
    "RepositoryIndex": "models has 2 entries: versions that are not served are listed too, with the reason",
    "RepositoryIndex of a repository": "INVALID_ARGUMENT: the call is supported, its argument is wrong",
    "RepositoryModelLoad nothing": "NOT_FOUND: the model does not exist; Triton answers INTERNAL",
    "RepositoryModelUnload nothing": "NOT_FOUND: a misspelt name must not look like success",
    "SystemSharedMemoryStatus": NOT_HERE,
    "CudaSharedMemoryStatus": NOT_HERE,
    "TraceSetting": NOT_HERE,
    "LogSettings": NOT_HERE,
    "classification 0": "OK (None): 0 means no classification; over HTTP Triton accepts it too",
    "an output twice": "INVALID_ARGUMENT: the client's mistake is reported; Triton answers once",
    "version x": LABELS,
    "two contents for one input": "INVALID_ARGUMENT: the request is ambiguous; Triton takes the first",
    "shape 784": "OK (None): pixels may also be [n, 28, 28] or [n, 784]",
    "shape huge": "RESOURCE_EXHAUSTED: more digits than one request may hold; in Triton the product overflows",
    "typed, 256": "INVALID_ARGUMENT: it does not fit a byte; Triton reads it as 0",
    "unloaded: infer": "UNAVAILABLE: unloading is temporary; clients may retry, or use another instance",
}
