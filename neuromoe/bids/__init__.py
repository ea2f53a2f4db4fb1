"""Find the images and tables of a BIDS dataset."""
