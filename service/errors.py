"""Every refusal the service can give: the tree, the status of each, nothing else.

DigitsError                     500   base: str(error) is the sentence a caller reads
├── BadRequest                  400   malformed: not JSON, a truncated picture, an odd number of bytes
├── Unauthorized                401   a key is wanted and none came
├── Forbidden                   403   the key is wrong, or admin calls are off
├── NotFound                    404
│   └── NoSuchModel             404   no such model, or no such version of it
├── RequestTimeout              408   the body came too slowly
├── PayloadTooLarge             413   body, picture or number of digits over a limit
├── UnsupportedMediaType        415   a body, or a picture, of a kind that is not read here
│   └── UnsupportedEncoding     415   a body compressed in a way that is not read here
├── Conflict                    409   a version that must not be promoted
├── InvalidValue                422   well-formed, but wrong values; `field` names where
├── ModelBroken                 500   a model folder that must not be served; never raised by a request
├── ProviderUnavailable         500   the execution provider asked for does not work here; start-up only
├── FeedbackFull                507   the feedback file holds all that it may
├── FeedbackUnavailable         503   the feedback file cannot be used
├── RunTimeout                  504   a run of the model took too long and was ended
└── Unavailable                 503   full, draining or not ready; `retry_after` in seconds
"""

from __future__ import annotations


class DigitsError(Exception):
    """Base of all refusals. `str(error)` is one sentence that says what was wrong and what to do."""

    status = 500

    @property
    def headers(self) -> dict[str, str]:
        return {}


class BadRequest(DigitsError):
    status = 400


class Unauthorized(DigitsError):
    status = 401

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class Forbidden(DigitsError):
    status = 403


class NotFound(DigitsError):
    status = 404


class NoSuchModel(NotFound):
    pass


class RequestTimeout(DigitsError):
    status = 408


class PayloadTooLarge(DigitsError):
    status = 413


class UnsupportedMediaType(DigitsError):
    status = 415


class UnsupportedEncoding(UnsupportedMediaType):
    @property
    def headers(self) -> dict[str, str]:
        return {"Accept-Encoding": "gzip, deflate"}


class Conflict(DigitsError):
    status = 409


class FeedbackFull(DigitsError):
    status = 507


class FeedbackUnavailable(DigitsError):
    status = 503


class RunTimeout(DigitsError):
    status = 504


class InvalidValue(DigitsError):
    """Well-formed but wrong. `field` is a path into the request, such as `instances[3][27]`."""

    status = 422

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class ModelBroken(DigitsError):
    pass


class ProviderUnavailable(DigitsError):
    pass


class Unavailable(DigitsError):
    """Not now: the queue is full, or the service is draining or has no model. Try again after `retry_after` seconds."""

    status = 503

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)}
