"""POST /feedback and GET /feedback/stats: digits with their correct label, kept for retraining."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field, model_validator
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from service.api.schemas import RequestBody, problem_responses
from service.digits import Pixels
from service.errors import InvalidValue, NotFound
from service.feedback.recent import RecentPredictions
from service.feedback.store import Correction
from service.http.deps import CallerDep, FeedbackDep, IsAdmin, QuotasDep, RecentDep
from service.http.limited_route import LimitedRoute
from service.inputs.json import digits_from_list

router = APIRouter(prefix="/feedback", tags=["feedback"], route_class=LimitedRoute)


class Feedback(RequestBody):
    """The correct label of a digit: of an earlier prediction, by its request id, or of the digit that is sent."""

    label: Annotated[int, Field(strict=True, ge=0, le=9, description="What the digit is.")]
    request_id: Annotated[
        str | None, Field(min_length=1, max_length=128, description="x-request-id of an earlier response.")
    ] = None
    index: Annotated[int, Field(ge=0, description="Index of the digit in that request, from 0.")] = 0
    digit: Annotated[list[Any] | None, Field(description="28 rows of 28 pixels, or 784 pixels, 0-255.")] = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Feedback:
        if (self.request_id is None) == (self.digit is None):
            raise ValueError("give either request_id or digit")
        return self


class Kept(BaseModel):
    """What was stored. `new` is false if the digit was stored before."""

    label: int
    predicted: int | None
    model: str | None
    version: int | None
    new: bool


class Stats(BaseModel):
    """Contents of the feedback file. `corrected`: digits whose prediction differs from the label."""

    digits: int
    max_digits: int
    corrected: int
    by_label: list[int]


@router.post(
    "",
    status_code=201,
    response_model=Kept,
    summary="Correct a prediction",
    responses=problem_responses(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503, 507),
)
async def give(
    feedback: Feedback, writer: FeedbackDep, recent: RecentDep, quotas: QuotasDep, caller: CallerDep, is_admin: IsAdmin
) -> JSONResponse:
    """Stores the digit as the model saw it, with its label; on disk before the response is sent.

    The first label of a digit stands: another one is answered with 409, unless it comes with an admin key. One client
    may send so many per hour as DIGITS_CLIENT_CORRECTIONS_PER_H says.
    """
    correction = await run_in_threadpool(_correction, feedback, recent)  # it may search a million predictions
    correction = replace(correction, replaces=is_admin)
    if not is_admin:
        await quotas.corrections.take(caller.name)
    new = await writer.add(correction)
    c = correction
    content = {"label": c.label, "predicted": c.predicted, "model": c.model, "version": c.version, "new": new}
    return JSONResponse(content, 201 if new else 200)


@router.get(
    "/stats",
    response_model=Stats,
    summary="Counts of the stored feedback",
    responses=problem_responses(401, 403, 408, 413, 415, 429, 503),
)
async def stats(writer: FeedbackDep) -> dict[str, Any]:
    return await writer.stats()


def _pixels(digit: list[Any]) -> Pixels:
    """uint8 (28, 28). Raises InvalidValue, which names the place in this request."""
    try:
        pixels: Pixels = digits_from_list([digit], 1)[0]
    except InvalidValue as error:
        here = [text.replace("instances[0]", "digit") for text in (str(error), error.field or "digit")]
        raise InvalidValue(here[0], here[1]) from None
    return pixels


def _correction(feedback: Feedback, recent: RecentPredictions) -> Correction:
    if feedback.digit is not None:
        return Correction(_pixels(feedback.digit), feedback.label)
    answer = recent.find((feedback.request_id or "").encode(), feedback.index)
    if answer is None:
        raise NotFound("That prediction is no longer remembered, or was never made; send the digit itself.")
    predicted = int(answer.probabilities.argmax())
    return Correction(answer.pixels, feedback.label, predicted, answer.model, answer.version)
