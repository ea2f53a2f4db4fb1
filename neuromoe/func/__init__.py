"""BOLD: correct the series on its own grid, then make maps on the template's grid."""
