"""Why two programs for one network differ: their choices, aligned one after the other."""
