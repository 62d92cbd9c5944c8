"""The files and tables that people read, each written from one `Evaluation`."""
