"""POST /feedback and GET /feedback/stats: digits with their right label, kept for retraining."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, model_validator
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from service.api.schemas import problem_responses
from service.errors import NotFound
from service.feedback.recent import RecentPredictions
from service.feedback.store import Correction
from service.http.deps import FeedbackDep, RecentDep
from service.inputs.json import digits_from_list

router = APIRouter(prefix="/feedback", tags=["feedback"])


class Feedback(BaseModel):
    """The right label of a digit: one answered before, by its request id, or the digit itself."""

    label: Annotated[int, Field(strict=True, ge=0, le=9, description="What the digit is.")]
    request_id: Annotated[str | None, Field(max_length=128, description="x-request-id of an earlier answer.")] = None
    index: Annotated[int, Field(ge=0, description="Which digit of that request, from 0.")] = 0
    digit: Annotated[list[Any] | None, Field(description="28 rows of 28 pixels, or 784 pixels, 0-255.")] = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Feedback:
        if (self.request_id is None) == (self.digit is None):
            raise ValueError("give either request_id or digit")
        return self


class Kept(BaseModel):
    """What was kept. `new` is false for a digit that was there already: it is one row, with the newest label."""

    label: int
    predicted: int | None
    model: str | None
    version: int | None
    new: bool


class Stats(BaseModel):
    """What the feedback file holds. `corrected`: digits that the model had got wrong."""

    digits: int
    max_digits: int
    corrected: int
    by_label: list[int]


@router.post(
    "",
    status_code=201,
    response_model=Kept,
    summary="Say what a digit really is",
    responses=problem_responses(404, 422, 507),
)
async def give(feedback: Feedback, store: FeedbackDep, recent: RecentDep, _: Request) -> JSONResponse:
    """Keeps the digit as the model saw it, with its label, on disk before this answers."""
    correction = _correction(feedback, recent)
    new = await run_in_threadpool(store.add, correction)
    c = correction
    content = {"label": c.label, "predicted": c.predicted, "model": c.model, "version": c.version, "new": new}
    return JSONResponse(content, 201 if new else 200)


@router.get("/stats", response_model=Stats, summary="What feedback was kept")
async def stats(store: FeedbackDep) -> dict[str, Any]:
    return await run_in_threadpool(store.stats)


def _correction(feedback: Feedback, recent: RecentPredictions) -> Correction:
    if feedback.digit is not None:
        return Correction(digits_from_list([feedback.digit], 1)[0], feedback.label)
    answer = recent.find((feedback.request_id or "").encode(), feedback.index)
    if answer is None:
        raise NotFound("That answer is no longer remembered, or never was given; send the digit itself.")
    predicted = int(answer.probabilities.argmax())
    return Correction(answer.pixels, feedback.label, predicted, answer.model, answer.version)
