"""What a run is: frozen dataclasses and the number forms of flags. Standard library only."""
