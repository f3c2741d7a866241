"""How a run is doing: its state and the reason for it, its pods, events and logs."""
