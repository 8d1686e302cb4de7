"""What a zone says: sources, checks, versions, history, transfers as messages."""
