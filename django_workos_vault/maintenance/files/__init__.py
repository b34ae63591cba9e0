"""What goes through the files of whole columns: sealing those that are there in clear."""
