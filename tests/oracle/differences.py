"""Where we answer otherwise than Triton on purpose: "what differs: why". A line that no longer holds fails the test.

One rule needs no line (compare.py): where Triton answers 500 or INTERNAL to a request that is at fault (bad JSON, a
negative dimension, a number that is no byte), we answer 400 or INVALID_ARGUMENT.
"""

from __future__ import annotations

OURSELVES = "body.name is 'digit-recognizer': we do not pretend to be Triton, and name the extensions that we have"
HEALTH = "body is {: the protocol's text gives the health calls a body; Triton sends none, and clients read the status"
NOT_OFFERED = "status 404: this extension is not offered, and not named in /v2"
NOT_FOUND = "status 404: what is not there is 404 in every call; Triton says 400 in some and 404 in others"
VERSIONS = "version_policy: a promoted version is served by its number, whether it is the newest or not"
UNLOADED = (
    "status 503: it is here and comes back: with Retry-After a balancer asks another instance; Triton's 404 is final"
)
INDEX = "body has 2 entries: versions that are not served are listed too, with the reason"
EMPTY = "body is {}: an empty object; Triton says application/json and sends no JSON at all"
PACKING = (
    "content-encoding None: every HTTP library sends both unasked, and packing costs more than the model; "
    "who names one coding alone, as tritonclient does, gets it"
)
TAKEN = "status 200: "
SHAPES = "status 200: pixels may also be [n, 28, 28] or [n, 784], as our other calls take them"

HTTP: dict[str, str] = {
    "GET /v2": OURSELVES,
    "GET /v2/": "status 200: the protocol's description has /v2/, its text /v2: both are here",
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
    'POST /v2/repository/index {"ready": true}': "has besides reason: the protocol has it, empty for what is served",
    "POST /v2/repository/index []": "status 400: a list is not the object that the call takes",
    "POST /v2/repository/models/digits/load": EMPTY,
    "POST /v2/repository/models/nothing/load": NOT_FOUND,
    "POST /v2/repository/models/nothing/unload": "status 404: a misspelt name should not look like success",
    "id null": TAKEN + "null is the same as none, as in most clients' serialisers",
    "parameters nested": TAKEN + "parameters that mean nothing here are passed over, whatever they hold",
    "shape 784": SHAPES,
    "shape without channel": SHAPES,
    "shape huge": "status 413: more digits than one request may hold; Triton multiplies until the number wraps around",
    "value 256": "status 400: it is no byte; Triton takes it for 0",
    "value 1.0": TAKEN + "a whole number, as JavaScript and pandas may write it",
    "an output twice": "status 400: a mistake of the client, told; Triton answers once",
    "raw, three digits": TAKEN + "a raw request may hold several digits; Triton takes one",
    "brotli": "status 415: HTTP's own status for a coding that is not read; Triton says 501",
    "answer gzip or deflate": PACKING,
    "POST /v2/repository/models/digits/unload": EMPTY,
    "unloaded: infer": UNLOADED,
    "unloaded: ready": UNLOADED,
    "unloaded: metadata": UNLOADED,
    "unloaded: index": INDEX,
    "unloaded: server ready": "status 503: as /health/ready; Triton says 400",
    "load again": EMPTY,
}

LABELS = "NOT_FOUND: a version may be a label, so x is one that is not there; Triton takes only numbers"
MISSING = "NOT_FOUND: what is not there is NOT_FOUND in every call; Triton says INVALID_ARGUMENT here"
NOT_HERE = "UNIMPLEMENTED: this extension is not offered, and not named by ServerMetadata"
CONFIG = "version_policy: a promoted version is served by its number; the platform is named, and no memory is pinned"

GRPC: dict[str, str] = {
    "ServerMetadata": "message.name is 'digit-recognizer': we do not pretend to be Triton",
    "ModelReady digits x": "OK (None): a version may be a label, so x is one that is not ready",
    "ModelMetadata digits x": LABELS,
    "ModelConfig digits": CONFIG,
    "ModelConfig digits 2": CONFIG,
    "ModelConfig digits x": LABELS,
    "ModelStatistics digits 1": MISSING,
    "ModelStatistics digits 99": MISSING,
    "ModelStatistics digits x": LABELS,
    "ModelStatistics nothing": MISSING,
    "RepositoryIndex": "models has 2 entries: versions that are not served are listed too, with the reason",
    "RepositoryIndex of a repository": "INVALID_ARGUMENT: the call is there, its argument is wrong",
    "RepositoryModelLoad nothing": "NOT_FOUND: that is what is wrong; Triton blames itself",
    "RepositoryModelUnload nothing": "NOT_FOUND: a misspelt name should not look like success",
    "SystemSharedMemoryStatus": NOT_HERE,
    "CudaSharedMemoryStatus": NOT_HERE,
    "TraceSetting": NOT_HERE,
    "LogSettings": NOT_HERE,
    "classification 0": "OK (None): 0 means no classification, as over HTTP, where Triton takes it too",
    "an output twice": "INVALID_ARGUMENT: a mistake of the client, told; Triton answers once",
    "version x": LABELS,
    "two contents for one input": "INVALID_ARGUMENT: which of them was meant is unknown; Triton takes the first",
    "shape 784": "OK (None): pixels may also be [n, 28, 28] or [n, 784]",
    "shape huge": "RESOURCE_EXHAUSTED: more digits than one request may hold; Triton's product wraps around",
    "typed, 256": "INVALID_ARGUMENT: it is no byte; Triton takes it for 0",
    "unloaded: infer": "UNAVAILABLE: it is here and comes back; clients may try again, or another instance",
}
