"""What the networks are made of: encoders, experts and gate, losses, training and reading."""
