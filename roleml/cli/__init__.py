"""The command line: `roleml demo` and, in time, its sisters; one module a command."""
