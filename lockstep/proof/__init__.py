"""Every number of every step of a backend, compared with that of the network by hand."""
