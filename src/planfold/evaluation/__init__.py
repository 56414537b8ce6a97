"""How good is a planner? Scores of drafted plans against plans that people made."""
