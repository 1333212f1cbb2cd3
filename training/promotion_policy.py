"""Where a retrained version is published, and when it is promoted. Kept in the run folder, to survive a kill."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from training.comparison import Allowance
from training.errors import RunError

FILE = "terms.json"


@dataclass(frozen=True)
class PromotionPolicy:
    """The options of `retrain` that do not concern training."""

    models: str  # absolute path of the model repository: the run may be resumed from another working directory
    name: str
    allowance: Allowance
    force: str = ""  # if not empty, the reason to promote a version that is worse

    def save(self, folder: Path) -> None:
        """Write the policy into a run folder."""
        (folder / FILE).write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "PromotionPolicy":
        """Read what `save` wrote. Raises RunError for a run that `retrain` did not begin, or a damaged file."""
        try:
            values = json.loads((folder / FILE).read_text())
            points = {name: float(value) for name, value in values["allowance"].items()}
            return cls(str(values["models"]), str(values["name"]), Allowance(**points), str(values["force"]))
        except FileNotFoundError:
            raise RunError(
                f"{folder} was started by `train`, not by `retrain`. Continue it with "
                f"`python -m training train --resume {folder}`, then export and promote it."
            ) from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise RunError(
                f"{folder}/{FILE} cannot be read. Continue with `python -m training train --resume {folder}`, "
                "then export and promote."
            ) from error
