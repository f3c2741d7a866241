"""The data side of training: what is drawn, read, decoded and put into batches, and by which processes."""
