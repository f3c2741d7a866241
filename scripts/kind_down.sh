#!/bin/sh -e
# Delete the kind cluster that kind_up.sh made, with all that is in it. The images stay in Docker.
exec kind delete cluster --name datascaler
