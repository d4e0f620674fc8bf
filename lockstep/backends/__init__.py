"""One file for each framework, each with a class `Network(Backend)`.

`contract.py` says what such a class takes and returns, `registry.py` which there are.
"""
