"""Statistics: prevalence, slices, overlap, clusters, the map, and ways to split a concept."""
