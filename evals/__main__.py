"""``python -m evals DATASET...``: scores of a planner."""

from evals.command import evals_command
from planfold.cli.main import main

if __name__ == "__main__":
    main(evals_command, "python -m evals")
