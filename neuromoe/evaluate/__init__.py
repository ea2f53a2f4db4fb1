"""Out-of-fold predictions become numbers with intervals."""
