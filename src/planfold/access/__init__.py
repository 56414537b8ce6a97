"""Who may ask the service for what: tokens, sessions and launch codes, as streams of the log."""
