"""A run as one HTML page: the template, its style, its script."""
