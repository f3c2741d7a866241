"""From tars to scored rows: reading ahead, decoding, the network's batches, publishing."""
