"""What lies on disk: results, predictions, weights; each whole or absent."""
