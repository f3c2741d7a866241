"""From a command to objects in the cluster: values, manifests, what they will cost, and their creation."""
