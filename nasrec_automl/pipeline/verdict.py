"""Where a run keeps how far its scores can be trusted."""

from __future__ import annotations

from nasrec_automl.pipeline.files import read_json, write_json_once
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.verdict import Verdict


def read_verdict(run: RunFolder) -> Verdict | None:
    """What the check of the scores found; None where there was none."""
    found = read_json(run.verdict)
    return None if found is None else Verdict.from_plain(found)


def note_verdict(run: RunFolder, verdict: Verdict) -> None:
    """Keep it; of workers that end the check at once the first one's stays, and all go by it."""
    write_json_once(run.verdict, verdict.to_plain())
