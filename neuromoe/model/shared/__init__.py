"""What every kind of model needs: the base class, checked settings and rows, predictions of people held out."""
