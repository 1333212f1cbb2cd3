"""The loaded models of this process: which version serves each model. It knows nothing of HTTP."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

from service.digits import Pixels, Probabilities
from service.engine.batcher import AdmissionLimit, Batcher, Run
from service.engine.model import CLASSES, Model
from service.engine.operators import Operators
from service.engine.rollout import Rollout
from service.engine.run_timeouts import RunTimeouts
from service.engine.run_watchdog import RunWatchdog
from service.engine.validation import load
from service.engine.version import Lecture, LoadedVersion
from service.errors import DigitsError, NoSuchModel, RunTimeout, Unavailable
from service.repository.card import Card
from service.repository.repository import Repository
from service.repository.volume import Files, at_once
from service.settings import Settings
from service.telemetry.metrics import Meter


class Engine:
    """Holds the served version of each model, and the candidate of its rollout if one is running.

    Attributes:
        refused: model name -> why its promoted version is not served.
        unloaded: names of models that were unloaded over the API; they are not served until loaded again.
        withdrawn: model name -> why none of its versions is served: its runs took too long.
        trouble: why the models folder cannot be read at present; empty if it can.
    """

    def __init__(self, settings: Settings, meter: Meter) -> None:
        self.settings = settings
        self.repository = Repository(settings.models_dir)
        self.admission = AdmissionLimit(settings.max_queue_rows)
        self.refused: dict[str, str] = {}
        self.unloaded: set[str] = set()
        self.withdrawn: dict[str, str] = {}
        self.trouble = ""
        self._meter = meter
        self._operators = Operators.parse(settings.allowed_operators)
        self._watchdog = RunWatchdog(settings.run_timeout_s)
        self._live: dict[str, LoadedVersion] = {}
        self._trials: dict[str, Rollout] = {}

    async def predict(
        self,
        name: str | None,
        request_id: bytes,
        pixels: Pixels,
        lecture: Lecture = Lecture.UNWANTED,
        client: str = "-",
    ) -> tuple[LoadedVersion, Probabilities]:
        """Predict with the served version, or with the canary if the rollout assigns this request to it.

        Args:
            name: the model; None for the default one.
            request_id: its salted hash decides which version answers while a canary is running.
            client: who sent the digits; one client gives at most a share of a trial's evidence.
            pixels: uint8 (n, 28, 28).
            lecture: whether the second output, `lecture_output`, is requested.

        Returns:
            The version that answered, and float32 (n, 10), or (n, 110) as Model.predict_all has it.
        """
        served = self.served(name)
        trial = self._trials.get(served.name) if self._trials else None
        wanted = lecture is not Lecture.UNWANTED
        if trial is None or (lecture is Lecture.REQUIRED and not trial.candidate.model.has_lecture_output):
            return served, await served.predict(pixels, wanted)
        return await trial.predict(served, request_id, pixels, wanted, client)

    def served(self, name: str | None = None) -> LoadedVersion:
        """The served version of a model; of the default model if no name is given.

        Raises:
            NoSuchModel: no model of that name is served.
            Unavailable: the model was unloaded, or taken out of service.
        """
        name = name or self.settings.model
        try:
            return self._live[name]
        except KeyError:
            if name in self.unloaded:
                raise Unavailable(f"{name} is unloaded; it answers again once it is loaded.", 5) from None
            if name in self.withdrawn:
                raise Unavailable(self.withdrawn[name], 5) from None
            known = ", ".join(self._live) or "none"
            raise NoSuchModel(f"No model of that name is served here; served: {known}.") from None

    def sole_version(self) -> LoadedVersion | None:
        """The served version of the default model; None if there is none or if any rollout is running."""
        return None if self._trials else self._live.get(self.settings.model)

    def rollout(self, name: str) -> Rollout | None:
        """The running canary or shadow of a model, if there is one."""
        return self._trials.get(name)

    def names(self) -> list[str]:
        """Names of the served models, sorted."""
        return sorted(self._live)

    def state(self) -> dict[str, Any]:
        """The state that this worker publishes to the others (telemetry/scoreboard.py)."""
        providers = [served.model.provider for served in self._live.values()]
        return {
            "live": {name: served.version for name, served in self._live.items()},
            "provider": providers[0] if providers else "none",
            "queue_rows": self.admission.rows,
            "refused": self.refused,
            "trouble": self.trouble,
            "trials": {name: trial.counts() for name, trial in self._trials.items()},
        }

    def start(self, files: Files = at_once) -> None:
        """Load the promoted version of the default model, then of every other model that has one.

        Args:
            files: makes the file calls, as Volume.wait does it.

        Raises:
            NoSuchModel, ModelBroken, ProviderUnavailable: the default model cannot be served. Errors of other models
                are kept in `refused`.
            Unavailable: the models folder did not answer in time.
        """
        self.swap(self.load(self.settings.model, files=files))
        for name in files(self.repository.names):
            if name not in self._live:
                try:
                    self.swap(self.load(name, files=files))
                except NoSuchModel:
                    continue  # nothing of it is promoted
                except DigitsError as error:
                    self.refused[name] = str(error)

    def load(
        self, name: str, version: int | None = None, tried: str | None = None, files: Files = at_once
    ) -> LoadedVersion:
        """Load, validate and warm up one version (the promoted one by default), without serving it yet.

        Where it was tried out in another process, `tried` is the SHA-256 of the file that was, and no other is loaded.
        """
        version = version or int(files(self.repository.current, name))
        card, model = load(
            self.repository, name, version, self.settings.provider, self._operators, tried, self._watchdog, files
        )
        return self._served(name, version, card, model)

    def swap(self, served: LoadedVersion) -> None:
        """Serve this version from now on. Requests in progress finish on the version they began with."""
        old, self._live[served.name] = self._live.get(served.name), served
        self.unloaded.discard(served.name)
        self.withdrawn.pop(served.name, None)
        if old:
            old.close()

    def unload(self, name: str) -> None:
        """Stop serving this model. Requests in progress finish."""
        self.unloaded.add(name)
        self.swap_rollout(name, None)
        if old := self._live.pop(name, None):
            old.close()

    def withdraw(self, name: str) -> None:
        """Serve no version of this model, since the runs of the live one took too long and no other can replace it."""
        if old := self._live.pop(name, None):
            self.withdrawn[name] = old.timeouts.reason()
            old.close()

    def swap_rollout(self, name: str, trial: Rollout | None) -> None:
        """Start a rollout of this model, or end it if None is given."""
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

    def end_runs(self) -> None:
        """End every run of a model, from any thread: the process is about to stop. Their callers get RunTimeout."""
        self._watchdog.end_all()

    def _served(self, name: str, version: int, card: Card, model: Model) -> LoadedVersion:
        key, statistics = f"{name} {version}", self._meter.statistics
        timeouts = RunTimeouts(name, version, partial(self._meter.event, "run_timeouts", name))

        def batcher(predict: Run) -> Batcher:
            counted, rows = self._counted(key, predict, timeouts), model.batch_rows
            # pieces in the thread are twice as long: 2 % faster, and small requests do not wait for them
            return Batcher(counted, self.admission, rows, 2 * rows, ran=lambda run: statistics.executed(key, run))

        predict, predict_all = cast(Run, model.predict), cast(Run, model.predict_all)
        both = batcher(predict), batcher(predict_all)
        return LoadedVersion(name, version, card, model, *both, statistics, timeouts)

    def _counted(self, key: str, predict: Run, timeouts: RunTimeouts) -> Run:
        def run(pixels: Any) -> Any:
            timeouts.check()
            try:
                answers: Any = predict(pixels)
            except RunTimeout:
                timeouts.add()
                raise
            self._meter.batch(key, answers[:, :CLASSES])
            return answers

        return run
