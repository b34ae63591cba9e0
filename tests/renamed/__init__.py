"""An app whose migrations renamed a model and fields, for the tests of renames."""
