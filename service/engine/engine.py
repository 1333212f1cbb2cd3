"""The live models of this process: which version answers for a name. It knows the repository, and nothing of HTTP."""

from __future__ import annotations

from typing import Any, cast

from service.digits import Pixels, Probabilities
from service.engine.batcher import AdmissionLimit, Batcher, Run
from service.engine.model import CLASSES, Model
from service.engine.rollout import Rollout
from service.engine.validation import load
from service.engine.version import Lecture, LoadedVersion
from service.errors import DigitsError, NoSuchModel, Unavailable
from service.repository.repository import Card, Repository
from service.settings import Settings
from service.telemetry.metrics import Meter


class Engine:
    """Holds one live version a name, and a trial of another one where there is one.

    Attributes:
        refused: name -> why the promoted version is not the live one.
        unloaded: names that are not served until they are loaded again.
        trouble: why the models folder cannot be read now; empty while it can.
    """

    def __init__(self, settings: Settings, meter: Meter) -> None:
        self.settings = settings
        self.repository = Repository(settings.models_dir)
        self.admission = AdmissionLimit(settings.max_queue_rows)
        self.refused: dict[str, str] = {}
        self.unloaded: set[str] = set()
        self.trouble = ""
        self._meter = meter
        self._live: dict[str, LoadedVersion] = {}
        self._trials: dict[str, Rollout] = {}

    async def predict(
        self, name: str | None, request_id: bytes, pixels: Pixels, lecture: Lecture = Lecture.UNWANTED
    ) -> tuple[LoadedVersion, Probabilities]:
        """Answer with the live version, or with the one on trial if this request falls to it.

        Args:
            name: the model; None for the default one.
            request_id: chooses, by its hash, which version answers while a canary runs.
            pixels: uint8 (n, 28, 28).
            lecture: whether the lecture's own output is wanted too.

        Returns:
            The version that answered, and float32 (n, 10), or (n, 110) as Model.predict_all has it.
        """
        served = self.served(name)
        trial = self._trials.get(served.name) if self._trials else None
        wanted = lecture is not Lecture.UNWANTED
        if trial is None or (lecture is Lecture.REQUIRED and not trial.candidate.model.has_lecture_output):
            return served, await served.predict(pixels, wanted)
        return await trial.predict(served, request_id, pixels, wanted)

    def served(self, name: str | None = None) -> LoadedVersion:
        """The live version of a model, of the default model where no name is given.

        Raises:
            NoSuchModel: none of that name is served.
            Unavailable: it was unloaded.
        """
        name = name or self.settings.model
        try:
            return self._live[name]
        except KeyError:
            if name in self.unloaded:
                raise Unavailable(f"{name} is unloaded; it answers again once somebody loads it.", 5) from None
            known = ", ".join(self._live) or "none"
            raise NoSuchModel(f"No model of that name is served here; served: {known}.") from None

    def sole_version(self) -> LoadedVersion | None:
        """The live version of the default model, where there is one and no trial of any model runs beside it."""
        return None if self._trials else self._live.get(self.settings.model)

    def rollout(self, name: str) -> Rollout | None:
        """The trial of a canary or shadow version, if one runs."""
        return self._trials.get(name)

    def names(self) -> list[str]:
        """Names of the models that are live."""
        return sorted(self._live)

    def state(self) -> dict[str, Any]:
        """What other workers and people may know of this one."""
        providers = [served.model.provider for served in self._live.values()]
        return {
            "live": {name: served.version for name, served in self._live.items()},
            "provider": providers[0] if providers else "none",
            "queue_rows": self.admission.rows,
            "refused": self.refused,
            "trouble": self.trouble,
            "trials": {name: trial.counts() for name, trial in self._trials.items()},
        }

    def start(self) -> None:
        """Load the promoted version of the default model, then of every other model that has one.

        Raises:
            NoSuchModel, ModelBroken, ProviderUnavailable: the default model cannot be served. Others are left out.
        """
        self.swap(self.load(self.settings.model))
        for name in self.repository.names():
            if name not in self._live:
                try:
                    self.swap(self.load(name))
                except DigitsError as error:
                    self.refused[name] = str(error)

    def load(self, name: str, version: int | None = None) -> LoadedVersion:
        """Load, check and warm one version (the promoted one by default), without serving it yet."""
        version = version or self.repository.current(name)
        card, model = load(self.repository, name, version, self.settings.provider)
        return self._served(name, version, card, model)

    def swap(self, served: LoadedVersion) -> None:
        """Serve this version from now on. Requests in flight finish on the one they began with."""
        old, self._live[served.name] = self._live.get(served.name), served
        self.unloaded.discard(served.name)
        if old:
            old.close()

    def unload(self, name: str) -> None:
        """Serve this model no more. Requests in flight finish."""
        self.unloaded.add(name)
        self.swap_rollout(name, None)
        if old := self._live.pop(name, None):
            old.close()

    def swap_rollout(self, name: str, trial: Rollout | None) -> None:
        """Begin a trial, or end it with None."""
        old = self._trials.pop(name, None)
        if old:
            old.close()
        if trial:
            self._trials[name] = trial

    def close(self) -> None:
        for served in self._live.values():
            served.close()
        for name in list(self._trials):
            self.swap_rollout(name, None)

    def _served(self, name: str, version: int, card: Card, model: Model) -> LoadedVersion:
        key, statistics = f"{name} {version}", self._meter.statistics

        def batcher(predict: Run) -> Batcher:
            counted, rows = self._counted(key, predict), model.batch_rows
            # pieces of big arrays are twice as long: 2 % faster, and nobody waits for them
            return Batcher(counted, self.admission, rows, 2 * rows, ran=lambda run: statistics.executed(key, run))

        predict, predict_all = cast(Run, model.predict), cast(Run, model.predict_all)
        return LoadedVersion(name, version, card, model, batcher(predict), batcher(predict_all), statistics)

    def _counted(self, key: str, predict: Run) -> Run:
        def run(pixels: Any) -> Any:
            answers: Any = predict(pixels)
            self._meter.batch(key, answers[:, :CLASSES])
            return answers

        return run
