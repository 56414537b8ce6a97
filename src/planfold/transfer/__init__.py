"""Moving streams between stores: the export format, export, import and archive."""
