"""From published files to batches: find, check, download, parse, distort, order."""
