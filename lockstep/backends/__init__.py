"""One file for each framework, each with one class `Network(Backend)`; see `contract.py`."""
