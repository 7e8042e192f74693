"""Questions asked of a trained model: one question, one file.

Each file holds plain functions on what a model can do, and one ``command`` that the command line calls: its parameters
are the flags, its docstring the help, and it returns a :class:`absynth.report.TaskResult` that it has saved in the run.
"""
