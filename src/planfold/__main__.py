"""``python -m planfold`` is the command ``planfold``."""

from planfold.cli.main import main

main()
