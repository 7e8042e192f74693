"""``python -m absynth``."""

from absynth.cli import main

if __name__ == "__main__":
    main()
