"""The report: one self-contained HTML file about a run, made from plain values.

The pipeline fills a `ReportContent` and hands it to `render_report`. Nothing here imports torch, optuna
or nni.
"""

from nasrec_automl.report.calibration import calibration_bins
from nasrec_automl.report.content import (
    CalibrationBin,
    CurvePoint,
    ReportContent,
    ResultKind,
    ResultRow,
    RetrainTrial,
    ScoredArchitecture,
)
from nasrec_automl.report.html import render_report
from nasrec_automl.report.wiring import wiring_svg

__all__ = [
    "CalibrationBin",
    "CurvePoint",
    "ReportContent",
    "ResultKind",
    "ResultRow",
    "RetrainTrial",
    "ScoredArchitecture",
    "calibration_bins",
    "render_report",
    "wiring_svg",
]
