"""Finished runs as people look at them: figures, tables, a page, Markdown. Nothing trains here."""
