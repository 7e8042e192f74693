"""What the estimators share: rows from whatever is given, an order of their own, and files that are never unpickled."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)
from torch import Tensor, nn

from absynth.errors import InputError
from absynth.files import read_json, write_atomic, write_json
from absynth.sklearn.columns import Columns, Rows, categories_of, dtypes_of, frame_of, is_frame, rows_of

FORMAT = 1


class TableEstimator(BaseEstimator):
    """An estimator of table rows: arrays or DataFrames, with categories and missing entries.

    A fit depends on the rows and not on their order, and a row of weight 2 counts as two: rows are sorted and equal
    ones merged before anything is computed.
    """

    _networks: tuple[str, ...] = ()
    """Fitted attributes that are modules; ``_build`` makes them."""
    _dtypes: list[str] | None = None
    """Of the columns of the DataFrame that was fitted."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _build(self) -> None:
        """Make the modules named in ``_networks`` from the other fitted attributes and the parameters."""

    def _rows(self, X: Any, *, reset: bool = False) -> Rows:
        """X as rows of numbers and category positions.

        Raises:
            ValueError: X is sparse, infinite, empty, or has other columns or categories than in ``fit``.
        """
        if reset:
            categories = categories_of(X) if is_frame(X) else None
            self._categories: list[list | None] = categories or []
            self._dtypes = dtypes_of(X) if is_frame(X) else None
        categories = self._categories
        if is_frame(X) and any(c is not None for c in categories):
            _check_feature_names(self, X, reset=reset)
            _check_n_features(self, X, reset=reset)
            if len(X) < (2 if reset else 1):
                raise ValueError(
                    f"Found array with {len(X)} sample(s) while a minimum of {2 if reset else 1} is required."
                )
            return self._with_values(rows_of(X, categories)) if reset else rows_of(X, categories)
        if any(c is not None for c in categories):
            raise ValueError("expected a DataFrame with the columns of fit, some of which are categories, got an array")
        try:
            rows = validate_data(
                self,
                X,
                reset=reset,
                dtype=np.float64,
                ensure_all_finite="allow-nan",
                ensure_min_samples=2 if reset else 1,
            )
        except ValueError as error:
            if "could not convert string to float" not in str(error):
                raise
            raise ValueError(f"{error}: expected numbers, give a pandas DataFrame for columns of words") from None
        if reset:
            self._categories = [None] * rows.shape[1]
            self._with_values(rows)
        return rows

    def _with_values(self, rows: Rows, where: str = "") -> Rows:
        """Rows to fit, unless a column has no value."""
        empty = np.flatnonzero(np.isnan(rows).all(0))
        if len(empty):
            names = getattr(self, "feature_names_in_", range(rows.shape[1]))
            raise ValueError(f"column {names[empty[0]]} has no value{where}: leave it out")
        return rows

    def _merged(
        self, rows: Rows, sample_weight: Any, y: np.ndarray | None = None
    ) -> tuple[Rows, np.ndarray, np.ndarray | None]:
        """Different rows in sorted order, the weight of each, and its y, which tells rows apart too."""
        weights = _check_sample_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
        kept = weights > 0
        if not kept.any():
            raise ValueError("expected a positive sample_weight for some row, got none")
        self._with_values(rows[kept], " in the rows of positive weight" if not kept.all() else "")
        table, weights = (rows if y is None else np.column_stack([rows, y]))[kept], weights[kept]
        different, inverse = np.unique(np.nan_to_num(table, nan=np.inf), axis=0, return_inverse=True)
        total = np.bincount(inverse.ravel(), weights, len(different))
        different[np.isinf(different)] = np.nan
        if y is None:
            return different, total, None
        return different[:, :-1], total, different[:, -1]

    def _seed(self) -> int:
        return int(check_random_state(self.random_state).randint(2**31 - 1))  # type: ignore[attr-defined]

    def _matrix(self, X: Any) -> Tensor:
        """X as the networks see it, ``[n, width]`` float64, missing entries filled."""
        columns: Columns = self.columns_  # type: ignore[attr-defined]
        return torch.from_numpy(columns.fill(columns.encode(self._rows(X))))

    def _table(self, rows: Rows, like: Any = None) -> Any:
        """Rows as what ``fit`` was given: a DataFrame if that had names, else an array.

        Args:
            rows: Numbers and positions of categories.
            like: What the rows come from: its index and its dtypes are kept. Defaults to the dtypes of ``fit``.
        """
        names = getattr(self, "feature_names_in_", None)
        if names is None or not (like is None or is_frame(like)):
            return rows
        dtypes, index = (self._dtypes, None) if like is None else (list(like.dtypes), like.index)
        return frame_of(rows, self._categories, list(names), dtypes=dtypes, index=index)

    # Files -----------------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the fitted estimator into a folder: ``estimator.json`` and ``model.safetensors``.

        Raises:
            InputError: A parameter cannot be written as JSON, for example a RandomState.
            NotFittedError: Nothing was fitted.
        """
        check_is_fitted(self)
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        params = self.get_params(deep=False)
        try:
            json.dumps(params)
        except TypeError:
            raise InputError(
                f"expected parameters of numbers and words to save, got {params}: give an integer seed"
            ) from None
        values: dict[str, Any] = {}
        arrays: dict[str, np.ndarray] = {}
        for name, value in vars(self).items():
            if name in params or name in self._networks:
                continue
            if isinstance(value, Columns):
                state, parts = value.state()
                values[name] = {"columns": state}
                arrays |= {f"{name}/{k}": v for k, v in parts.items()}
            elif isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
                arrays[name] = value
            elif isinstance(value, np.ndarray):
                values[name] = {
                    "array": value.tolist(),
                    "dtype": value.dtype.str if value.dtype.kind == "U" else "object",
                }
            else:
                values[name] = {"value": value.item() if isinstance(value, np.generic) else value}
        for name in self._networks:
            module: nn.Module = getattr(self, name)
            arrays |= {f"{name}/{k}": v.detach().cpu().numpy() for k, v in module.state_dict().items()}
        arrays = {k: np.ascontiguousarray(v) for k, v in arrays.items()}
        entry = {"format": FORMAT, "module": type(self).__module__, "class": type(self).__name__}
        write_json(path / "estimator.json", entry | {"params": params, "fitted": values})
        write_atomic(path / "model.safetensors", safetensors.numpy.save(arrays))

    @classmethod
    def load(cls, path: str | Path) -> Any:
        """Read what :meth:`save` wrote.

        Raises:
            InputError: The folder holds no estimator, another one, or damaged files.
        """
        path = Path(path)
        if not (path / "estimator.json").is_file():
            raise InputError(f"{path}: expected a folder that {cls.__name__}.save wrote, found no estimator.json there")
        entry = read_json(path / "estimator.json")
        try:
            if not str(entry["module"]).startswith("absynth.sklearn.") or entry["format"] != FORMAT:
                raise KeyError(f"format {entry['format']} of {entry['module']}")
            found = getattr(importlib.import_module(entry["module"]), entry["class"])
            if not issubclass(found, cls):
                raise InputError(
                    f"{path}: expected a saved {cls.__name__}, got a saved {entry['class']}: use {entry['class']}.load"
                )
            self = found(**entry["params"])
            arrays = safetensors.numpy.load_file(path / "model.safetensors")
            self._restore(entry["fitted"], arrays)
        except (KeyError, TypeError, AttributeError, OSError, RuntimeError, safetensors.SafetensorError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{path} is damaged or no saved estimator ({reason}): save it again") from error
        return self

    def _restore(self, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        for name, value in values.items():
            if "columns" in value:
                parts = {k.partition("/")[2]: v for k, v in arrays.items() if k.startswith(f"{name}/")}
                setattr(self, name, Columns.from_state(value["columns"], parts))
            elif "array" in value:
                setattr(self, name, np.array(value["array"], dtype=value["dtype"]))
            else:
                setattr(self, name, value["value"])
        for name, array in arrays.items():
            if "/" not in name:
                setattr(self, name, array)
        self._build()
        for name in self._networks:
            state = {k.partition("/")[2]: torch.from_numpy(v) for k, v in arrays.items() if k.startswith(f"{name}/")}
            getattr(self, name).load_state_dict(state)
