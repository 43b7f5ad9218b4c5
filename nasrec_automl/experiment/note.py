"""`experiment.json` in a run folder: which NNI experiment works on it, for those who want to join or stop it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from nasrec_automl.experiment.manager import Manager
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.run_folder import RunFolder


@dataclass(frozen=True, slots=True)
class ExperimentNote:
    """The experiment that owned the run folder last.

    Attributes:
        id: NNI's id of it.
        url: of its manager's web page.
    """

    id: str
    url: str

    def write(self, run: RunFolder) -> None:
        """Leave the note; called by the owner of the folder."""
        write_json(run.path / "experiment.json", asdict(self))

    @classmethod
    def read(cls, run: RunFolder) -> ExperimentNote | None:
        """Read the note; nothing where no experiment left one."""
        content = read_json(run.path / "experiment.json")
        return None if content is None else cls(id=content["id"], url=content["url"])

    def manager(self) -> Manager | None:
        """The experiment's manager; nothing when it is gone, or another has its port now."""
        manager = Manager(self.url)
        try:
            return manager if manager.profile()["id"] == self.id else None
        except (OSError, ValueError, KeyError, TypeError):
            # Whatever answers on the port is not NNI.
            return None
