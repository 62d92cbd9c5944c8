"""The files and tables that people read, written from one evaluation."""
