"""Images and where they lie: reading and writing, grids, transforms, gradients, the template."""
