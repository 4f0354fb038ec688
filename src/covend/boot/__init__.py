"""How each of the box's processes is put together and ended; ``python -m covend.boot NODE``."""
