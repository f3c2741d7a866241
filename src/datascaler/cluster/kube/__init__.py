"""How we speak to Kubernetes and Helm: the API, names, values and the state of objects."""
