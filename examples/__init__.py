"""Small programs to read and run; the line that runs each is in its docstring."""
