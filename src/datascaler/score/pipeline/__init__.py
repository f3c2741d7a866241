"""The pipeline that makes scored rows of tars: reading ahead, decoding, the model's batches, publishing."""
