"""Errors that a user can act on.

Each one is a sentence that says what was expected, what came, where, and what to do. The command line prints it
without a traceback and exits with 2.
"""


class NasRecError(Exception):
    """Root of every error that this package raises on purpose."""


class JobError(NasRecError, ValueError):
    """The job file, or a command's arguments, are not as they should be."""


class SpaceError(NasRecError, ValueError):
    """A search space cannot be found or is not a valid one."""


class ArchitectureError(NasRecError, ValueError):
    """An architecture, or a path, is not a point of its space."""


class BudgetError(NasRecError, ValueError):
    """No architecture is inside the budget, or the budget itself is not as it should be."""


class DataError(NasRecError, ValueError):
    """Raw or prepared data are missing, malformed or of another schema."""


class CheckpointError(NasRecError, ValueError):
    """Weights do not belong to the network they are loaded into, are not worth keeping, or cannot be read now."""


class DivergedError(NasRecError, ArithmeticError):
    """A training's loss, gradients or weights became NaN or infinite."""


class StudyError(NasRecError, ValueError):
    """A study's database cannot be used, or the study in it belongs to something else."""


class TrainingError(NasRecError, ChildProcessError):
    """A process of a training ended before the others."""


class RunFolderError(NasRecError, OSError):
    """A run folder is none, is in use, cannot be written, or lacks what a call needs of it."""


class InUseError(RunFolderError):
    """Another process owns a run folder, or a stage of it."""


class ExtraError(NasRecError, ImportError):
    """Something needs a package that the installation left out."""
