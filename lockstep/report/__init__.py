"""Results → tables and figures → one page. Nothing here trains, and no framework is imported."""
