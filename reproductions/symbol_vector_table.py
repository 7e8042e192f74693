"""Tables from few labels by symbol-vector coupling, beside what the same labels give without it.

python reproductions/symbol_vector_table.py --seeds 0 1
"""

from __future__ import annotations

from few_labels import measure

from absynth.recipes.symbol_vector_table import SymbolVectorTable


def main() -> None:
    measure(
        "symbol_vector_table",
        __doc__.splitlines()[0],
        {
            "digits": lambda seed: SymbolVectorTable(seed=seed),
            "breast cancer": lambda seed: SymbolVectorTable(seed=seed, table="breast_cancer", labels=20),
        },
        data="scikit-learn's digits as a table of 64 columns (50 labels) and breast cancer of 30 columns (20 labels); "
        "a fixed fifth of the rows is the test set",
        protocol="500 updates of 50 labelled and 150 unlabelled rows; z of 8; numbers chosen on a tenth of the rows "
        "that is set aside.",
        bars={"points above labels alone, digits": {"at_least": 0.0, "why": "unlabelled rows must not hurt"}},
    )


if __name__ == "__main__":
    main()
