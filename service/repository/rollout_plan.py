"""The plan of a rollout (canary or shadow), as stored in models/<name>/trial.json, and the verdict by its limits."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class RolloutPlan:
    """Try `version` while another one is served.

    Attributes:
        version: the published version to try.
        percent: share of requests that a canary answers, 0-100; not used by a shadow.
        shadow: the version answers no request and gets a copy of every one.
        min_digits: digits to compare before the verdict.
        max_disagreement: largest share of digits that the two versions may classify differently, 0-1.
        max_errors: largest share of the version's requests that may fail, 0-1.
        client_share: largest share of `min_digits` that one client may give, 0-1; in each worker process.
        id: distinguishes this rollout from earlier ones of the same version.
        secret: decides, with a request's id, which version answers; never published, so that no caller can choose.
    """

    version: int
    percent: float = 0.0
    shadow: bool = False
    min_digits: int = 1000
    max_disagreement: float = 0.02
    max_errors: float = 0.001
    client_share: float = 0.25
    id: str = field(default_factory=lambda: secrets.token_hex(4))
    secret: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)

    def most_per_client(self) -> int:
        """Digits that one client may give before the verdict."""
        return max(1, int(self.client_share * self.min_digits))

    def verdict(self, requests: int, errors: int, compared: int, disagreed: int) -> str:
        """The decision: "" (continue), "promoted: ..." or "rolled back: ...". A shadow always continues.

        Too many errors roll back before `min_digits` are compared, once they exceed `max_errors` for that number too.

        Args:
            requests: requests that the canary answered or failed.
            errors: requests that failed.
            compared: digits that both versions classified.
            disagreed: those of them with different classes.
        """
        if self.shadow:
            return ""
        if errors > self.max_errors * max(requests, self.min_digits):
            return f"rolled back: {errors} of {requests} requests failed (limit {self.max_errors:.2%})"
        if compared < self.min_digits:
            return ""
        share = disagreed / compared
        if share > self.max_disagreement:
            return f"rolled back: {share:.2%} of {compared} digits differ (limit {self.max_disagreement:.2%})"
        return f"promoted: {share:.2%} of {compared} digits differ (limit {self.max_disagreement:.2%}), {errors} failed"

    def has_ended(self, last: dict[str, Any] | None) -> bool:
        """Whether `last`, the result of the model's last rollout, is the result of this one."""
        return last is not None and last.get("id") == self.id

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), indent=2).encode() + b"\n"

    @classmethod
    def from_json(cls, text: bytes) -> RolloutPlan:
        """Raises ValueError or TypeError if the text is not a plan."""
        try:
            plan = cls(**json.loads(text))
        except RecursionError:
            raise ValueError("nested too deeply") from None
        plan._check()
        return plan

    def _check(self) -> None:
        """Requests are answered by these values. Raises ValueError."""
        counts, shares = (
            (self.version, self.min_digits),
            (self.percent, self.max_disagreement, self.max_errors, self.client_share),
        )
        if any(type(count) is not int or not 0 <= count < 10**18 for count in counts):
            raise ValueError("version and min_digits must be whole numbers")
        if any(type(share) not in (int, float) or not 0 <= share <= 100 for share in shares):
            raise ValueError("percent, max_disagreement, max_errors and client_share must be numbers from 0 to 100")
        if (
            type(self.shadow) is not bool
            or type(self.id) is not str
            or type(self.secret) is not str
            or self.version < 1
        ):
            raise ValueError("shadow must be a boolean, id and secret texts and version 1 or more")
