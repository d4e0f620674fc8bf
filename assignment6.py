"""The course's entry: `python assignment6.py` is `python neural_networks.py`."""

from neural_networks import main

if __name__ == "__main__":
    main()
