"""Every error that the service reports: the class tree, and the HTTP status of each.

DigitsError                     500   base; str(error) is the sentence that the caller reads
├── BadRequest                  400   malformed: not JSON, a truncated picture, an odd number of bytes
├── Unauthorized                401   a key is missing, or is none of this service
├── Forbidden                   403   the key has not the scope, or admin calls are off
├── NotFound                    404
│   └── NoSuchModel             404   no such model, or no such version of it
├── RequestTimeout              408   the body arrived too slowly
├── PayloadTooLarge             413   body, picture or number of digits over a limit
├── UnsupportedMediaType        415   a body or a picture of an unsupported format
│   └── UnsupportedEncoding     415   a body with an unsupported Content-Encoding
├── Conflict                    409   a version that must not be promoted, a digit that has another label
├── ModelBroken                 409   a version that must not be served; the sentence says why
├── InvalidValue                422   well-formed, with a wrong value; `field` says where
├── ProviderUnavailable         500   the configured execution provider does not work; start-up only
├── TooManyRequests             429   a limit per client is reached; `headers` say which and for how long
├── FeedbackFull                507   the feedback file is full
├── RunTimeout                  504   a run of the model took too long and was ended
├── AnswerTimeout               504   the answer took too long, and the work for it was ended
└── Unavailable                 503   queue full, draining or not ready; `retry_after` in seconds
    └── FeedbackUnavailable     503   the feedback file cannot be used now
"""

from __future__ import annotations


def pluralize(number: int, what: str, plural: str = "") -> str:
    """A number and its noun, for sentences: "1 byte", "2 bytes"."""
    return f"{number} {what if number == 1 else plural or what + 's'}"


class DigitsError(Exception):
    """Base of all errors. `str(error)` is one sentence that says what was wrong and what to do."""

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


class TooManyRequests(DigitsError):
    """A client has used up one of its limits. It has some of it again after `retry_after` seconds.

    Args:
        message: the sentence.
        retry_after: seconds.
        limit: name, amount and seconds of the limit, for the header fields RateLimit-Policy and RateLimit
            (draft-ietf-httpapi-ratelimit-headers); None: it has none.
    """

    status = 429

    def __init__(self, message: str, retry_after: int = 1, limit: tuple[str, int, int] | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self._limit = limit

    @property
    def headers(self) -> dict[str, str]:
        found = {"Retry-After": str(self.retry_after)}
        if self._limit:
            name, amount, seconds = self._limit
            found["RateLimit-Policy"] = f'"{name}";q={amount};w={seconds}'
            found["RateLimit"] = f'"{name}";r=0;t={self.retry_after}'
        return found


class FeedbackFull(DigitsError):
    status = 507


class RunTimeout(DigitsError):
    status = 504


class AnswerTimeout(DigitsError):
    status = 504


class InvalidValue(DigitsError):
    """Well-formed, with a wrong value. `field` is a path into the request, such as `instances[3][27]`."""

    status = 422

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class ModelBroken(DigitsError):
    status = 409


class ProviderUnavailable(DigitsError):
    pass


class Unavailable(DigitsError):
    """Temporary: the queue is full, the service is draining, or it has no model. Retry after `retry_after` seconds."""

    status = 503

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)}


class FeedbackUnavailable(Unavailable):
    pass
