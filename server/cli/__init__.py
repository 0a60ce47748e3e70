"""The command line: what a person types and reads. Commands call use cases; none of the rules is here."""
