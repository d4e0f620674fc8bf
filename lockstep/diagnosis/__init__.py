"""Somebody's own network beside the network by hand: the first wrong number, and the mistake."""
