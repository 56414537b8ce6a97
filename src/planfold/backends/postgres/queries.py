"""The statements of this backend, by name."""

from planfold.backends.named_sql import load_queries

SQL = load_queries(__file__)
