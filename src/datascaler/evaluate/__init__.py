"""Zero-shot evaluation on DataComp's tasks, from its webdataset layout to its results file."""
