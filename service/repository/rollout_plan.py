"""The plan of a trial, as it stands in models/<name>/trial.json, and the verdict that its limits give."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class RolloutPlan:
    """Try `version` beside the served one.

    Attributes:
        version: the published version on trial.
        percent: share of requests that it answers, 0-100; not used by a shadow.
        shadow: it answers none, and sees a copy of all.
        min_digits: digits compared before a verdict.
        max_disagreement: largest share of digits on which the two versions may differ, 0-1.
        max_errors: largest share of the trial's requests that may fail, 0-1.
        id: tells this trial from an earlier one of the same version.
    """

    version: int
    percent: float = 0.0
    shadow: bool = False
    min_digits: int = 1000
    max_disagreement: float = 0.02
    max_errors: float = 0.001
    id: str = field(default_factory=lambda: secrets.token_hex(4))

    def verdict(self, requests: int, errors: int, compared: int, disagreed: int) -> str:
        """What to do now: "" (go on), "promoted: ..." or "rolled back: ...". A shadow is never ended.

        A rollback needs no full sample once the limit on errors is certain to be broken.
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

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), indent=2).encode() + b"\n"

    @classmethod
    def from_json(cls, text: bytes) -> RolloutPlan:
        """Raises ValueError or TypeError where the text is no plan."""
        known: dict[str, Any] = json.loads(text)
        return cls(**known)
