"""How each of the box's processes is put together and ended; ``python -m covend.boot NODE``."""

from __future__ import annotations

from pathlib import Path


def serve(config: str | Path, run_dir: str | None = None, state_dir: str | None = None) -> int:
    """Run the box of a configuration file until it is told to stop; returns the exit status.

    ``run_dir`` and ``state_dir`` win over the file's. Main thread. Raises ``ConfigErrors`` for a
    configuration that does not hold, ``FolderError`` when its folders are unsafe or taken by
    another box, ``StrategyNotFound`` for a strategy that does not exist.
    """
    # Imported here: whoever only wants the package's name pays for nothing.
    from covend.boot.process import Place
    from covend.boot.root import run
    from covend.boot.strategies import load_strategy
    from covend.config import load

    box = load(config)
    load_strategy(box.whim.strategy)
    source = str(Path(config).absolute())
    place = Place.of("root", source, run_dir or box.run_dir, state_dir or box.state_dir)
    return run(place, source)
