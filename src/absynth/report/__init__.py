"""Results of tasks, and the pages that show them: one page per run (:mod:`page`), and one for several (:mod:`compare`).

:mod:`gather` runs every task that a model supports before it writes the page.
"""

from absynth.report.result import Picture, ResultTable, TaskResult

__all__ = ["Picture", "ResultTable", "TaskResult"]
