"""The commands' options and help, a module for each group; every heavy import is deferred until a command runs."""
