"""The same work on planfold and on other libraries, each in an environment of its own."""
