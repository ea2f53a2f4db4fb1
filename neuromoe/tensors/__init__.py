"""Maps on the template grid become one tensor file per session, and those one store."""
