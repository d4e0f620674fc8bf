"""Epochs of one backend, and several backends as one run."""
