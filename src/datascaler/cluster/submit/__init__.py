"""What turns a command into objects in the cluster: values, manifests, an estimate of the cost, and their creation."""
